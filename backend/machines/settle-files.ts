/**
 * What a host was asked and did not answer: how a drive's file is now, and whether a snapshot is there. Asked again when the
 * host reports.
 */
import { snapshotMethods } from '../../shared/agent-api/snapshots.ts';
import { driveKey, type MachineDeps, snapshotKey } from './deps.ts';
import { settleFile } from './drive-file.ts';

/** A host that was told to stop may still be taking a snapshot away: only after so long is one that it does not have forgotten. */
const FORGET_MS = 10 * 60_000;

/** @throws what the agent answers. */
export async function settleFiles(deps: MachineDeps, hostId: string): Promise<void> {
  const { store, mutex } = deps;
  for (const { driveId } of store.drives.unsureOn(hostId)) {
    const key = driveKey(driveId);
    if (mutex.isBusy(key)) continue; // whoever works on it knows better
    await mutex.run(key, () => settleFile(deps, { driveId, hostId }));
  }
  await settleSnapshots(deps, hostId);
}

async function settleSnapshots({ store, links, jobs, now }: MachineDeps, hostId: string): Promise<void> {
  for (const { snapshotId, driveId, unsureAt } of store.snapshots.openOn(hostId)) {
    if (jobs.worksOn(snapshotKey(snapshotId)) || unsureAt === null) continue;
    const { snapshots } = await links.call(hostId, snapshotMethods.snapshotList, { driveId, snapshotId });
    const told = snapshots.find((it) => it.snapshotId === snapshotId && it.driveId === driveId);
    if (told !== undefined) store.snapshots.setTold(told);
    else if (now() - unsureAt >= FORGET_MS) store.snapshots.remove(snapshotId);
  }
}
