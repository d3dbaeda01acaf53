/** In which pieces a file system is trimmed, so that progress can be told and a cancel heeded in between. */
import type { FileSystem } from '../../shared/api/drive.ts';

export interface TrimRange {
  offset: number;
  /** Undefined: to the end. */
  length: number | undefined;
}

const MOST_PIECES = 256;
const LEAST_BYTES = 1024 ** 3;
/** A block group of ext4. */
const GROUP_BYTES = 128 * 1024 ** 2;

/**
 * btrfs maps its own addresses to the device's: it is trimmed as a whole. xfs counts a free extent with each piece that
 * touches it, and none crosses the border of an allocation group: pieces are made of whole groups.
 * @param sizeBytes of the file system. @param groupBytes an allocation group of xfs.
 */
export function planTrim(fileSystem: FileSystem, sizeBytes: number, groupBytes = GROUP_BYTES): TrimRange[] {
  if (fileSystem === 'btrfs') return [{ offset: 0, length: undefined }];
  const least = Math.max(sizeBytes / MOST_PIECES, LEAST_BYTES);
  const piece = Math.ceil(least / groupBytes) * groupBytes;
  const count = Math.max(1, Math.ceil(sizeBytes / piece));
  return Array.from({ length: count }, (_, i) => ({
    offset: i * piece,
    length: i === count - 1 ? undefined : piece,
  }));
}
