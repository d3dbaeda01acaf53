/**
 * The kinds that vmc makes itself, told by their magic numbers: asking blkid for these takes longer than all else that
 * opening a drive asks. What is not one of them, or seems to be two, is for blkid.
 */
/** Bytes at the beginning of a device that are looked at. */
export const SUPERBLOCK_BYTES = 66 * 1024;

const EXT_AT = 1024;
/** Features of ext4 that ext2 and ext3 do not have: extents, 64bit, flex_bg (ext4(5), fs/ext4/ext4.h). */
const EXT4_ONLY = 0x40 | 0x80 | 0x200;

/** As blkid calls them: crypto_LUKS, ext4, xfs, btrfs; undefined for everything else. */
export function parseSuperblock(bytes: Buffer): string | undefined {
  if (bytes.length < SUPERBLOCK_BYTES) return undefined;
  const has = (at: number, text: string) => bytes.toString('latin1', at, at + text.length) === text;
  const isExt4 = bytes.readUInt16LE(EXT_AT + 56) === 0xef53 && (bytes.readUInt32LE(EXT_AT + 96) & EXT4_ONLY) !== 0;
  const kinds = [
    ...(has(0, 'LUKS\xba\xbe\0\x02') ? ['crypto_LUKS'] : []),
    ...(isExt4 ? ['ext4'] : []),
    ...(has(0, 'XFSB') ? ['xfs'] : []),
    ...(has(64 * 1024 + 64, '_BHRfS_M') ? ['btrfs'] : []),
  ];
  return kinds.length === 1 ? kinds[0] : undefined;
}
