/**
 * What a host was asked and did not answer: how a drive's file is now, and whether a snapshot is there. Asked again when the
 * host reports.
 */
import { snapshotMethods } from '../../shared/agent-api/snapshots.ts';
import { errorFields } from '../../shared/log.ts';
import type { SnapshotRow } from '../store/snapshots.ts';
import { driveKey, type MachineDeps, snapshotKey } from './deps.ts';
import { settleFile } from './drive-file.ts';

/** A host that was told to stop may still be taking a snapshot away: only after so long is one that it does not have forgotten. */
const FORGET_MS = 10 * 60_000;

/** What cannot be settled now is left for the next report. */
export async function settleFiles(deps: MachineDeps, hostId: string): Promise<void> {
  const { store, mutex, jobs, log } = deps;
  const leaving = (fields: Record<string, unknown>) => (error: unknown) =>
    log.warn('not settled', { hostId, ...fields, ...errorFields(error) });
  for (const { driveId } of store.drives.unsureOn(hostId)) {
    const key = driveKey(driveId);
    if (mutex.isBusy(key)) continue; // whoever works on it knows better
    await mutex.run(key, () => settleFile(deps, { driveId, hostId })).catch(leaving({ driveId }));
  }
  for (const row of store.snapshots.openOn(hostId)) {
    const { snapshotId, unsureAt } = row;
    if (unsureAt === null || jobs.worksOn(snapshotKey(snapshotId))) continue;
    await settleSnapshot(deps, row, unsureAt).catch(leaving({ snapshotId }));
  }
}

/** @throws what the agent answers. */
async function settleSnapshot(
  { store, links, now }: MachineDeps,
  { snapshotId, driveId, hostId }: SnapshotRow,
  unsureAt: number,
): Promise<void> {
  const { snapshots } = await links.call(hostId, snapshotMethods.snapshotList, { driveId, snapshotId });
  const told = snapshots.find((it) => it.snapshotId === snapshotId && it.driveId === driveId);
  if (told !== undefined) store.snapshots.setTold(told);
  else if (now() - unsureAt >= FORGET_MS) store.snapshots.remove(snapshotId);
}
