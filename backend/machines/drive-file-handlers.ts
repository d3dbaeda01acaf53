/** A drive's file on its host: growing, checking, converting. */
import { driveFileMethods } from '../../shared/agent-api/drive-files.ts';
import { VmcError } from '../../shared/errors.ts';
import type { driveFileRoutes } from '../../shared/rest-api/drive-care.ts';
import type { Handlers } from '../rest/handler.ts';
import type { Account } from '../store/accounts.ts';
import type { DriveRow } from '../store/drives.ts';
import { driveKey, type MachineDeps } from './deps.ts';
import { describeDrive } from './describe.ts';
import { ownDrive } from './drive-access.ts';
import { changingFile } from './drive-file.ts';
import { requireDetached, requireMade } from './drive-handlers.ts';

export function driveFileHandlers(deps: MachineDeps): Pick<Handlers, keyof typeof driveFileRoutes> {
  const { store, links, jobs } = deps;
  const ownMade = (account: Account, driveId: string): DriveRow => {
    const drive = ownDrive(store, account, driveId);
    requireMade(drive);
    return drive;
  };
  const ownDetached = (account: Account, driveId: string): DriveRow => {
    const drive = ownMade(account, driveId);
    requireDetached(deps, account, drive);
    return drive;
  };
  return {
    async driveResize({ params: { driveId }, body: { sizeBytes } }, { account }) {
      ownMade(account, driveId);
      await jobs.whenIdle(driveKey(driveId), async () => {
        const drive = ownMade(account, driveId);
        requireAtHome(deps, drive);
        if (sizeBytes < drive.sizeBytes)
          throw new VmcError('bad-request', `The drive ${drive.name} is larger already, and a drive never shrinks.`);
        await changingFile(deps, drive, () =>
          links.call(drive.hostId, driveFileMethods.driveResize, { driveId, sizeBytes }),
        );
      });
      return describeDrive(ownDrive(store, account, driveId), account.userId, store);
    },

    async driveCheck({ params: { driveId }, body: { repair } }, { account }) {
      const { hostId } = ownDetached(account, driveId);
      return jobs.begin({
        kind: 'drive-check',
        userId: account.userId,
        hostId,
        target: driveId,
        keys: [driveKey(driveId)],
        work: (call) => {
          ownDetached(account, driveId);
          return call(driveFileMethods.driveCheck, { driveId, repair });
        },
      });
    },

    async driveConvert({ params: { driveId }, body: { format } }, { account }) {
      const { hostId } = ownDetached(account, driveId);
      return jobs.begin({
        kind: 'drive-convert',
        userId: account.userId,
        hostId,
        target: driveId,
        keys: [driveKey(driveId)],
        work: async (call) => {
          const drive = ownDetached(account, driveId);
          return changingFile(deps, drive, () => call(driveFileMethods.driveConvert, { driveId, format }));
        },
      });
    },
  };
}

/** In a shared pool another host's VM may have the drive: only that host could grow or copy it, and does not keep it. @throws VmcError 'wrong-state'. */
export function requireAtHome({ store }: MachineDeps, { driveId, hostId, name }: DriveRow): void {
  const isAway = store.attachments.ofDrive(driveId).some(({ vmId }) => store.vms.get(vmId)?.hostId !== hostId);
  if (isAway)
    throw new VmcError(
      'wrong-state',
      `The drive ${name} is attached to a VM on another host than its own, ${hostId}.`,
      'Detach it first.',
    );
}
