/** The end of a drive. */
import type { Host } from '../host.ts';
import { drivePath, requireDetached } from './drives.ts';
import { allocatedBytes, removeFile } from './pool.ts';
import { requirePool } from './pool-marker.ts';
import { requireUnused } from './qemu-img.ts';
import { settled } from './settle.ts';

/**
 * @returns false when there was no such drive. @throws VmcError 'busy' while somebody has it, here or on another host;
 * 'wrong-state' when the pool is not mounted: a missing file then says nothing.
 */
export function deleteDrive(host: Host, driveId: string): Promise<boolean> {
  return host.locks.hold([driveId], async () => {
    const begun = (await host.drives.get(driveId))?.pending?.what === 'delete';
    await requirePool(host, 'drives');
    const record = await settled(host, driveId);
    if (record === undefined) return begun;
    const path = drivePath(host, record);
    await requireDetached(host, record);
    if ((await allocatedBytes(path)) !== undefined) await requireUnused(path);
    await host.drives.put(driveId, { ...record, pending: { what: 'delete' } });
    await host.step('drive.delete:file');
    await removeFile(path);
    await host.step('drive.delete:record');
    await host.drives.remove(driveId);
    return true;
  });
}
