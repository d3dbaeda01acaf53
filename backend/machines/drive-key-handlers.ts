/** A drive's stored keys: the first, and changes of it. The backend looks at none of them; it must lose none of them. */
import { equalBytes } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Handlers } from '../rest/handler.ts';
import type { PersonKey } from '../store/drive-keys.ts';
import type { DriveRow } from '../store/drives.ts';
import type { MachineDeps } from './deps.ts';
import { ownDrive } from './drive-access.ts';
import { changeIsOpen } from './drive-people-handlers.ts';

type KeyHandlers = Pick<Handlers, 'drivePutKey' | 'driveKeyStage' | 'driveKeyCommit' | 'driveKeyForget'>;

export function driveKeyHandlers({ store }: MachineDeps): KeyHandlers {
  const { driveKeys } = store;

  /** @throws VmcError 'bad-request' unless there is one for the owner and for everybody it is shared with, and no other. */
  const requireEverybody = ({ driveId, ownerId }: DriveRow, keys: readonly PersonKey[]): void => {
    const entitled = [ownerId, ...store.driveShares.ofDrive(driveId).map((it) => it.userId)].sort();
    const given = keys.map((it) => it.userId).sort();
    if (given.join() !== entitled.join())
      throw new VmcError(
        'bad-request',
        'The next key has to be there for the owner and everybody with whom the drive is shared, once each, and for nobody else.',
        'Look again with whom it is shared, and begin anew.',
      );
  };
  const isStaged = (driveId: string, keys: readonly PersonKey[]): boolean => {
    const staged = driveKeys.next(driveId);
    const isThere = ({ userId, wrappedKey }: PersonKey) =>
      staged.some((it) => it.userId === userId && equalBytes(it.wrappedKey, wrappedKey));
    return staged.length === keys.length && keys.every(isThere);
  };

  return {
    async drivePutKey({ params: { driveId }, body: { wrappedKey } }, { account }) {
      ownDrive(store, account, driveId);
      store.transaction(() => {
        if (!driveKeys.put(driveId, account.userId, wrappedKey))
          throw new VmcError(
            'already-exists',
            'Another key is stored for this drive already, and it is not replaced: the data would be lost.',
            'Make a new drive, or open this one with the key it has.',
          );
        store.snapshots.addKey(driveId, wrappedKey);
      });
      return {};
    },

    async driveKeyStage({ params: { driveId }, body }, { account }) {
      const drive = ownDrive(store, account, driveId);
      const { keys } = body;
      requireEverybody(drive, keys);
      store.transaction(() => {
        if (driveKeys.get(driveId, drive.ownerId) === undefined)
          throw new VmcError('wrong-state', `No key is stored for the drive ${drive.name} yet.`, 'Format it first.');
        if (isStaged(driveId, keys)) return;
        if (driveKeys.next(driveId).length > 0) throw changeIsOpen(drive);
        driveKeys.stage(driveId, keys);
        for (const { userId, wrappedKey } of keys)
          if (userId === drive.ownerId) store.snapshots.addKey(driveId, wrappedKey);
      });
      return {};
    },

    async driveKeyCommit({ params: { driveId }, body }, { account }) {
      const { ownerId, name } = ownDrive(store, account, driveId);
      const meant = body.wrappedKey;
      store.transaction(() => {
        if (isSame(driveKeys.getNext(driveId, ownerId), meant)) driveKeys.commit(driveId);
        else if (!isSame(driveKeys.get(driveId, ownerId), meant))
          throw new VmcError(
            'wrong-state',
            `This change of the key of the drive ${name} was given up: the key before it still counts.`,
            `Keep the old key slot, and begin anew: connect drive key change ${name}`,
          );
      });
      return {};
    },

    async driveKeyForget({ params: { driveId }, body }, { account }) {
      const drive = ownDrive(store, account, driveId);
      const meant = body.wrappedKey;
      store.transaction(() => {
        const next = driveKeys.getNext(driveId, drive.ownerId);
        if (isSame(next, meant)) driveKeys.forget(driveId);
        else if (next !== undefined) throw changeIsOpen(drive);
        else if (isSame(driveKeys.get(driveId, drive.ownerId), meant))
          throw new VmcError('wrong-state', `It is the key of the drive ${drive.name} by now: it is not forgotten.`);
      });
      return {};
    },
  };
}

const isSame = (stored: Uint8Array | undefined, meant: Uint8Array): boolean =>
  stored !== undefined && equalBytes(stored, meant);
