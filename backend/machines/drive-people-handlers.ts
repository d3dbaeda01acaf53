/** With whom a drive is shared: its owner wraps its key for them, and says whether they may write. */
import { VmcError } from '../../shared/errors.ts';
import { STAGED_KEYS_MAX } from '../../shared/rest-api/drive-people.ts';
import type { Handlers } from '../rest/handler.ts';
import type { DriveRow } from '../store/drives.ts';
import type { MachineDeps } from './deps.ts';
import { ownDrive, sharedDrive } from './drive-access.ts';
import { mayReach } from './reach.ts';

const MAX_PEOPLE = STAGED_KEYS_MAX - 1;
/** With one person, who can leave each. With two envelopes each, all of them and their own fit into one answer. */
const MAX_SHARED_WITH = 200;

type PeopleHandlers = Pick<Handlers, 'drivePeople' | 'driveShare' | 'driveUnshare'>;

export function drivePeopleHandlers({ store, now }: MachineDeps): PeopleHandlers {
  /** @throws VmcError 'busy' while they have it so at a VM where its owner could not close it. */
  const requireNotAway = (drive: DriveRow, userId: string, isInTheWay: (readOnly: boolean) => boolean): void => {
    const away = store.attachments
      .ofDrive(drive.driveId)
      .find(
        ({ vmId, readOnly }) =>
          isInTheWay(readOnly) && mayReach(store, userId, vmId) && !mayReach(store, drive.ownerId, vmId),
      );
    if (away !== undefined)
      throw new VmcError(
        'busy',
        `The drive ${drive.name} is attached to a VM (${away.vmId}) of theirs that its owner does not reach.`,
        'Let them close it, and detach it first.',
      );
  };
  return {
    async drivePeople({ params: { driveId } }, { account }) {
      ownDrive(store, account, driveId);
      const people = store.driveShares.ofDrive(driveId).flatMap(({ userId, access, since }) => {
        const found = store.accounts.get(userId);
        return found === undefined ? [] : [{ userId, name: found.name, access, since }];
      });
      return { people };
    },

    async driveShare({ params: { driveId, userId }, body: { access, wrappedKey } }, request) {
      const { account } = request;
      request.target = `${driveId} ${userId} ${access}`;
      const drive = ownDrive(store, account, driveId);
      if (userId === drive.ownerId) throw new VmcError('already-exists', `The drive ${drive.name} is yours.`);
      if (store.accounts.get(userId) === undefined)
        throw new VmcError('not-found', `There is no account ${userId}.`, 'Accounts are shown by: connect user list');
      store.transaction(() => {
        if (store.driveKeys.get(driveId, drive.ownerId) === undefined)
          throw new VmcError('wrong-state', `No key is stored for the drive ${drive.name} yet.`, 'Format it first.');
        if (store.driveKeys.next(driveId).length > 0) throw changeIsOpen(drive);
        const there = store.driveShares.get(driveId, userId);
        if (there === undefined) {
          if (store.driveShares.ofDrive(driveId).length >= MAX_PEOPLE)
            throw new VmcError('limit', `A drive is shared with at most ${MAX_PEOPLE} people.`);
          if (store.driveShares.countOf(userId) >= MAX_SHARED_WITH)
            throw new VmcError('limit', `${MAX_SHARED_WITH} drives are shared with this person already.`);
        }
        if (access === 'ro') requireNotAway(drive, userId, (readOnly) => !readOnly);
        store.driveShares.put({ driveId, userId, access, since: now() });
        store.driveKeys.share(driveId, userId, wrappedKey);
      });
      return {};
    },

    async driveUnshare({ params: { driveId, userId } }, request) {
      const { account } = request;
      request.target = `${driveId} ${userId}`;
      const { drive } = sharedDrive(store, account, driveId);
      if (userId !== account.userId) ownDrive(store, account, driveId);
      if (userId === drive.ownerId) throw new VmcError('bad-request', `The drive ${drive.name} is theirs.`);
      store.transaction(() => {
        requireNotAway(drive, userId, () => true);
        store.driveShares.remove(driveId, userId);
        store.driveKeys.remove(driveId, userId);
      });
      return {};
    },
  };
}

export const changeIsOpen = ({ name }: DriveRow) =>
  new VmcError(
    'busy',
    `A change of the key of the drive ${name} was begun and is not finished.`,
    `Finish it first: connect drive key change ${name}`,
  );
