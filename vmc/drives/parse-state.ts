/** What the beginning of a device says about the state of what is on it. */
import { METADATA_BYTES } from './parse-luks-binary.ts';

/** The LUKS2 label of a drive while it is being formatted. Whoever can write to the disk can set it: it proves nothing. */
export const UNFINISHED_LABEL = 'vmc-formatting';

/** LUKS2 on-disk format 2.1: the label is text, padded with zeros. */
const LABEL_AT = 24;
const LABEL_BYTES = 48;

/** @param binary of a LUKS2 header, at least its first bytes. */
export const isUnfinished = (binary: Uint8Array): boolean =>
  Buffer.from(binary.subarray(LABEL_AT, LABEL_AT + LABEL_BYTES))
    .toString('latin1')
    .replace(/\0.*$/s, '') === UNFINISHED_LABEL;

/** cryptsetup(8) takes the newer of the two copies, by this number. */
const SEQUENCE_AT = 16;

/** @returns the binary part without its label, as the next version of the header. */
export function withoutLabel(binary: Uint8Array): Uint8Array {
  const next = Buffer.from(binary);
  next.fill(0, LABEL_AT, LABEL_AT + LABEL_BYTES);
  next.writeBigUInt64BE(next.readBigUInt64BE(SEQUENCE_AT) + 1n, SEQUENCE_AT);
  return next;
}
/** Each of the two copies of the header. */
export const COPY_BYTES = METADATA_BYTES / 2;

const EXT_AT = 1024;
const EXT_CLEAN = 1;
/** Feature of ext4: the journal holds what is not yet in its place. */
const EXT_NEEDS_RECOVERY = 0x4;
/** sb_inprogress: mkfs.xfs has not come to its end. */
const XFS_UNFINISHED_AT = 126;
const BTRFS_AT = 64 * 1024;

/**
 * Whether a file system was left in the middle of something (fs/ext4/ext4.h, ctree.h). An xfs does not say so in its
 * superblock, unless it was never finished: undefined.
 * @param bytes SUPERBLOCK_BYTES of the device.
 */
export function isDirty(type: string, bytes: Buffer): boolean | undefined {
  switch (type) {
    case 'ext4': {
      const needsRecovery = (bytes.readUInt32LE(EXT_AT + 96) & EXT_NEEDS_RECOVERY) !== 0;
      return needsRecovery || bytes.readUInt16LE(EXT_AT + 58) !== EXT_CLEAN;
    }
    case 'btrfs':
      return bytes.readBigUInt64LE(BTRFS_AT + 96) !== 0n; // log_root: a log to be replayed
    case 'xfs':
      return bytes[XFS_UNFINISHED_AT] === 0 ? undefined : true;
    default:
      return undefined;
  }
}
