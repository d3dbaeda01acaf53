/** Is a drive's file sound? The guest's file system is another matter, which only the VM can look into. */
import type { DriveCheck } from '../../shared/agent-api/drive-files.ts';
import { CommandError } from '../../shared/run.ts';
import type { Host } from '../host.ts';
import type { DriveRecord } from '../state/records.ts';
import { drivePath, requireDetached, requireDriveFile } from './drives.ts';
import { requirePool } from './pool-marker.ts';
import { checkImage, imageInfo, sameContent, type Work } from './qemu-img.ts';
import { requireSettled } from './settle.ts';

const GOOD: DriveCheck = { state: 'good', leakedClusters: 0, corruptions: 0, repaired: false };
const DAMAGED: DriveCheck = { state: 'damaged', leakedClusters: 0, corruptions: 1, repaired: false };

/**
 * qcow2: its tables, as qemu-img finds them. raw: its size, and whether all of it can be read.
 * @param repair gives leaked space back; damage is only ever reported.
 * @throws VmcError 'not-found', 'busy' (attached, or in use elsewhere), 'cancelled'.
 */
export function checkDrive(host: Host, driveId: string, repair: boolean, work: Work = {}): Promise<DriveCheck> {
  return host.locks.hold([driveId], async () => {
    await requirePool(host, 'drives');
    const record = await requireSettled(host, driveId);
    await requireDetached(host, record);
    await requireDriveFile(host, record);
    work.progress?.({ step: 'check' });
    try {
      return record.format === 'qcow2'
        ? await checkImage(drivePath(host, record), repair, work)
        : await checkRaw(host, record, work);
    } catch (error) {
      // Too damaged to be opened, or to be read.
      if (error instanceof CommandError && error.reason === 'exit') return DAMAGED;
      throw error;
    }
  });
}

async function checkRaw(host: Host, record: DriveRecord, work: Work): Promise<DriveCheck> {
  const path = drivePath(host, record);
  const { sizeBytes } = await imageInfo(path, 'raw');
  if (sizeBytes < record.sizeBytes) return DAMAGED; // larger: another host has grown it
  // Compared with itself: all that is no hole is read, and nothing else.
  const copy = { from: path, to: path, fromFormat: 'raw', toFormat: 'raw', allocation: 'sparse', sizeBytes } as const;
  return (await sameContent(copy, 'read', work)) ? GOOD : DAMAGED;
}
