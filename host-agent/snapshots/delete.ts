/** Deleting snapshots: only those on which no other one builds. */
import { VmcError } from '../../shared/errors.ts';
import { requirePool } from '../drives/pool-marker.ts';
import type { Host } from '../host.ts';
import { whereIs } from './bitmaps.ts';
import { buildingOn, superfluous } from './plan-snapshot.ts';
import {
  findSnapshot,
  listSnapshots,
  snapshotReadLock,
  snapshotsLock,
  type Undertaking,
  undertakings,
} from './records.ts';
import { backupLock, settle } from './settle.ts';

/** @returns false when there was no such snapshot. @throws VmcError 'busy' while others build on it. */
export async function deleteSnapshot(host: Host, snapshotId: string): Promise<boolean> {
  await requirePool(host, 'snapshots');
  const found = await findSnapshot(host, snapshotId);
  if (found === undefined) return false;
  const { driveId, target } = found;
  return host.locks.hold([driveId, snapshotsLock(driveId), snapshotReadLock(driveId)], async () => {
    const builtOnIt = buildingOn(await listSnapshots(host, driveId), snapshotId);
    if (builtOnIt.length > 0)
      throw new VmcError(
        'busy',
        `Snapshot ${snapshotId} is what ${builtOnIt.join(', ')} builds on.`,
        'Delete that first, or keep both.',
      );
    const undertaking: Undertaking = { doing: 'deleting', snapshotId, driveId, target };
    const drive = await host.drives.get(driveId);
    const writer = drive === undefined ? undefined : (await whereIs(host, drive)).writer;
    await host.locks.hold(writer === undefined ? [] : [backupLock(writer.domain)], async () => {
      await undertakings(host).put(snapshotId, undertaking);
      await settle(host, undertaking);
    });
    return true;
  });
}

/** Deletes what the newest `keep` of a drive do not need. @returns the ids, in the order in which they went. */
export async function pruneSnapshots(host: Host, driveId: string, keep: number): Promise<string[]> {
  const ids = superfluous(await listSnapshots(host, driveId), keep);
  for (const id of ids) await deleteSnapshot(host, id);
  return ids;
}
