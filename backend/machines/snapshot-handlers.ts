/** Snapshots of drives (H8): the host has them, the backend knows whose they are, and with which keys they open. */
import { snapshotMethods } from '../../shared/agent-api/snapshots.ts';
import { VmcError } from '../../shared/errors.ts';
import type { snapshotRoutes } from '../../shared/rest-api/drive-care.ts';
import { ofUnknownOutcome } from '../jobs/jobs.ts';
import type { Handlers } from '../rest/handler.ts';
import type { Account } from '../store/accounts.ts';
import type { DriveRow } from '../store/drives.ts';
import { makeId } from '../store/hashes.ts';
import type { SnapshotRow } from '../store/snapshots.ts';
import { driveKey, type MachineDeps, noSuch, snapshotKey } from './deps.ts';
import { describeDrive } from './describe.ts';
import { ownDrive } from './drive-access.ts';
import { requireAtHome } from './drive-file-handlers.ts';
import { requireMade } from './drive-handlers.ts';
import { addDrive, makingFile } from './make-drive.ts';
import { ignoreAbsent } from './vm-handlers.ts';

/** A server that does not answer is given up after a while. */
const FORGET_OPTIONS = { timeoutMs: 300_000 };

type Known = SnapshotRow & { told: NonNullable<SnapshotRow['told']> };

export function snapshotHandlers(deps: MachineDeps): Pick<Handlers, keyof typeof snapshotRoutes> {
  const { store, links, jobs, now, limits } = deps;
  const ownSnapshot = (account: Account, snapshotId: string): Known => {
    const row = store.snapshots.get(snapshotId);
    if (row === undefined || row.ownerId !== account.userId || row.told === null)
      throw noSuch('snapshot', snapshotId, 'connect drive snapshot list');
    return { ...row, told: row.told };
  };
  const ownToCopy = (account: Account, driveId: string): DriveRow => {
    const drive = ownDrive(store, account, driveId);
    requireMade(drive);
    requireAtHome(deps, drive);
    if (store.driveKeys.get(driveId, account.userId) === undefined && store.driveKeys.restored(driveId).length > 0)
      throw new VmcError(
        'wrong-state',
        `The drive ${drive.name} was restored, and its key is not stored for it yet.`,
        'Open it once first.',
      );
    return drive;
  };
  /** Also of a drive that is gone, as long as there are snapshots of it. */
  const hostOfSnapshots = (account: Account, driveId: string): string =>
    store.snapshots.ownedBy(account.userId).find((it) => it.driveId === driveId)?.hostId ??
    ownDrive(store, account, driveId).hostId;
  return {
    async snapshotCreate({ params: { driveId }, body: { kind, target } }, request) {
      const { account } = request;
      const { userId } = account;
      const { hostId } = ownToCopy(account, driveId);
      if (store.snapshots.countOf(userId) >= limits.snapshotsPerUser)
        throw new VmcError(
          'limit',
          `You have ${limits.snapshotsPerUser} snapshots, and may not have more.`,
          'Delete one.',
        );
      const snapshotId = makeId('snap-', 8);
      request.target = `${driveId} ${snapshotId}`;
      return jobs.begin({
        kind: 'snapshot-create',
        userId,
        hostId,
        target: snapshotId,
        keys: [driveKey(driveId), snapshotKey(snapshotId)],
        work: async (call) => {
          const { name } = ownToCopy(account, driveId);
          store.snapshots.begin({ snapshotId, driveId, driveName: name, ownerId: userId, hostId, begunAt: now() });
          try {
            const told = await call(snapshotMethods.snapshotCreate, { snapshotId, driveId, kind, target });
            requireThatOne(told, snapshotId, driveId);
            store.snapshots.setTold(told);
            return told;
          } catch (error) {
            if (mayBeThere(error)) store.snapshots.setUnsure(snapshotId, now());
            else store.snapshots.remove(snapshotId);
            throw error;
          }
        },
      });
    },

    async snapshotList(_input, { account }) {
      const rows = store.snapshots.ownedBy(account.userId);
      return { snapshots: rows.flatMap(({ told, driveName }) => (told === null ? [] : [{ ...told, driveName }])) };
    },

    async snapshotVerify({ params: { snapshotId } }, { account }) {
      const { hostId } = ownSnapshot(account, snapshotId);
      return jobs.begin({
        kind: 'snapshot-verify',
        userId: account.userId,
        hostId,
        target: snapshotId,
        keys: [snapshotKey(snapshotId)],
        work: (call) => call(snapshotMethods.snapshotVerify, { snapshotId }),
      });
    },

    async snapshotRestore({ params: { snapshotId }, body: { name, format } }, request) {
      const { account } = request;
      const { userId } = account;
      const { hostId, told } = ownSnapshot(account, snapshotId);
      const newDriveId = makeId('drv', 8);
      request.target = `${snapshotId} ${newDriveId}`;
      const job = jobs.begin({
        kind: 'snapshot-restore',
        userId,
        hostId,
        target: newDriveId,
        keys: [driveKey(newDriveId), snapshotKey(snapshotId)],
        prepare: () => {
          const { sizeBytes } = told;
          addDrive(deps, { driveId: newDriveId, name, ownerId: userId, hostId, format, sizeBytes });
          store.driveKeys.restore(newDriveId, snapshotId);
        },
        work: (call) =>
          makingFile(deps, hostId, newDriveId, () =>
            call(snapshotMethods.snapshotRestore, { snapshotId, newDriveId, format }),
          ),
      });
      return { drive: describeDrive(ownDrive(store, account, newDriveId), userId, store), job };
    },

    async snapshotDelete({ params: { snapshotId }, body: { confirm } }, { account }) {
      if (confirm !== snapshotId)
        throw new VmcError('bad-request', 'The snapshot to delete is not the one that was confirmed.');
      ownSnapshot(account, snapshotId);
      await jobs.whenIdle(snapshotKey(snapshotId), async () => {
        const { hostId } = ownSnapshot(account, snapshotId);
        await ignoreAbsent(links.call(hostId, snapshotMethods.snapshotDelete, { snapshotId }));
        store.snapshots.remove(snapshotId);
      });
      return {};
    },

    async snapshotForget({ params: { driveId }, body: { confirm } }, { account }) {
      if (confirm !== driveId) throw new VmcError('bad-request', 'The drive is not the one that was confirmed.');
      hostOfSnapshots(account, driveId); // before a stranger can wait for it, or learn that somebody works on it
      return jobs.whenIdle(driveKey(driveId), async () => {
        const hostId = hostOfSnapshots(account, driveId);
        const told = await links.call(hostId, snapshotMethods.snapshotForget, { driveId }, FORGET_OPTIONS);
        for (const { snapshotId, doing } of told.forgotten)
          if (doing === 'deleting' && store.snapshots.get(snapshotId)?.driveId === driveId)
            store.snapshots.remove(snapshotId);
        return told;
      });
    },
  };
}

/** The host was asked, and has not said that there is none. */
const mayBeThere = (error: unknown): boolean =>
  ofUnknownOutcome(error) || (error instanceof VmcError && error.code === 'bad-data');

/** @throws VmcError 'bad-data': a host may say anything. */
function requireThatOne(told: { snapshotId: string; driveId: string }, snapshotId: string, driveId: string): void {
  if (told.snapshotId !== snapshotId || told.driveId !== driveId)
    throw new VmcError('bad-data', 'The host answered with another snapshot than the one it was asked for.');
}
