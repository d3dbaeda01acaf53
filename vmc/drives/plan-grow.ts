/** Whether a LUKS volume has room to take, and what is on it can take it. */
import { LEAST_GROWN_BTRFS_BYTES } from '../../shared/api/drive-care.ts';
import { VmcError } from '../../shared/errors.ts';
import { HEADER_BYTES } from './parse-luks-header.ts';

const SECTOR_BYTES = 4096;
const MIB = 1024 * 1024;

/** @returns the volume can become larger. @throws VmcError 'wrong-state' when the device has become too small for it. */
export function canGrow(driveId: string, deviceBytes: number, volumeBytes: number): boolean {
  const room = roomFor(deviceBytes);
  if (room < volumeBytes)
    throw new VmcError(
      'wrong-state',
      `The disk of the drive ${driveId} has become smaller than what is on it (${deviceBytes} bytes).`,
      'The end of the drive is cut off. Tell an administrator of the VM host; write nothing to it.',
    );
  return room > volumeBytes;
}

/** @returns whether a btrfs can be given a size at all. @throws VmcError 'wrong-state' when it cannot, and would have to. */
export function canResizeBtrfs(driveId: string, deviceBytes: number, fileSystemBytes: number): boolean {
  if (deviceBytes >= LEAST_GROWN_BTRFS_BYTES) return true;
  if (fileSystemBytes === roomFor(deviceBytes)) return false;
  throw new VmcError(
    'wrong-state',
    `The disk of the drive ${driveId} has ${deviceBytes / MIB} MiB: a btrfs grows to no less than ${LEAST_GROWN_BTRFS_BYTES / MIB}.`,
    `Its file system is as large as before. Make the disk larger: connect drive grow ${driveId} --size ${LEAST_GROWN_BTRFS_BYTES / MIB}MiB`,
  );
}

const roomFor = (deviceBytes: number) => Math.floor((deviceBytes - HEADER_BYTES) / SECTOR_BYTES) * SECTOR_BYTES;
