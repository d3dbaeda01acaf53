/** Whether a LUKS volume has room to take. */
import { VmcError } from '../../shared/errors.ts';
import { HEADER_BYTES } from './parse-luks-header.ts';

const SECTOR_BYTES = 4096;

/** @returns the volume can become larger. @throws VmcError 'wrong-state' when the device has become too small for it. */
export function canGrow(driveId: string, deviceBytes: number, volumeBytes: number): boolean {
  const room = Math.floor((deviceBytes - HEADER_BYTES) / SECTOR_BYTES) * SECTOR_BYTES;
  if (room < volumeBytes)
    throw new VmcError(
      'wrong-state',
      `The disk of the drive ${driveId} has become smaller than what is on it (${deviceBytes} bytes).`,
      'The end of the drive is cut off. Tell an administrator of the VM host; write nothing to it.',
    );
  return room > volumeBytes;
}
