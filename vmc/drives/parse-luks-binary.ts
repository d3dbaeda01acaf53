/**
 * The two copies of the metadata at the beginning of a LUKS2 volume: 4096 bytes binary, then JSON, each copy 16 KiB
 * (LUKS2 On-Disk Format Specification 1.1.1, chapter 2). Other sizes than cryptsetup's own default are not taken.
 */
import { createHash } from 'node:crypto';
import { equalBytes } from '../../shared/bytes.ts';

/** Of both copies together. */
export const METADATA_BYTES = 32 * 1024;

const COPY_BYTES = METADATA_BYTES / 2;
const BINARY_BYTES = 4096;
const PRIMARY_MAGIC = Buffer.from('LUKS\xba\xbe', 'latin1');
const SECONDARY_MAGIC = Buffer.from('SKUL\xba\xbe', 'latin1');
/** Offsets in the binary part. */
const VERSION_AT = 6;
const SIZE_AT = 8;
const SEQUENCE_AT = 16;
const ALGORITHM_AT = 72;
const UUID_AT = 168;
const UUID_BYTES = 40;
const OFFSET_AT = 256;
const CHECKSUM_AT = 448;
const CHECKSUM_BYTES = 64;

export interface Metadata {
  /** As it stands there; it says nothing that was checked but its form. */
  binary: Uint8Array;
  json: string;
  /** One more with each writing. */
  sequence: bigint;
}

/** @param bytes the first METADATA_BYTES of a volume. @returns the newer of the copies that are whole; undefined when none is. */
export function parseMetadata(bytes: Uint8Array): Metadata | undefined {
  const copies = [
    parseCopy(Buffer.from(bytes.subarray(0, COPY_BYTES)), PRIMARY_MAGIC, 0),
    parseCopy(Buffer.from(bytes.subarray(COPY_BYTES, METADATA_BYTES)), SECONDARY_MAGIC, COPY_BYTES),
  ].filter((copy) => copy !== undefined);
  return copies.sort((a, b) => (a.sequence < b.sequence ? 1 : a.sequence > b.sequence ? -1 : 0))[0];
}

/**
 * Whether a header in memory, from before a crash, is to go to the drive: it is of the same volume and no older, or the drive
 * has none that is whole. A drive that was formatted elsewhere meanwhile has another UUID, and would be lost.
 */
export function isOwed(inMemory: Metadata | undefined, onDrive: Metadata | undefined): boolean {
  if (inMemory === undefined || onDrive === undefined) return inMemory !== undefined;
  const uuidOf = ({ binary }: Metadata) => binary.subarray(UUID_AT, UUID_AT + UUID_BYTES);
  return equalBytes(uuidOf(inMemory), uuidOf(onDrive)) && onDrive.sequence <= inMemory.sequence;
}

function parseCopy(copy: Buffer, magic: Buffer, at: number): Metadata | undefined {
  if (copy.length !== COPY_BYTES || !equalBytes(copy.subarray(0, magic.length), magic)) return undefined;
  const algorithm = copy.toString('latin1', ALGORITHM_AT, ALGORITHM_AT + 32).replace(/\0.*$/s, '');
  if (
    copy.readUInt16BE(VERSION_AT) !== 2 ||
    copy.readBigUInt64BE(SIZE_AT) !== BigInt(COPY_BYTES) ||
    copy.readBigUInt64BE(OFFSET_AT) !== BigInt(at) ||
    algorithm !== 'sha256' ||
    !equalBytes(copy.subarray(CHECKSUM_AT, CHECKSUM_AT + CHECKSUM_BYTES), checksum(copy))
  )
    return undefined;
  const end = copy.indexOf(0, BINARY_BYTES);
  if (end < 0) return undefined;
  return {
    binary: copy.subarray(0, BINARY_BYTES),
    json: copy.toString('utf8', BINARY_BYTES, end),
    sequence: copy.readBigUInt64BE(SEQUENCE_AT),
  };
}

/** Both copies anew, with this JSON in them. @throws RangeError when it does not fit. */
export function composeMetadata({ binary, json }: Omit<Metadata, 'sequence'>): Uint8Array {
  const text = Buffer.from(json, 'utf8');
  if (text.length >= COPY_BYTES - BINARY_BYTES) throw new RangeError('too much metadata');
  const copy = (magic: Buffer, at: number) => {
    const bytes = Buffer.alloc(COPY_BYTES);
    bytes.set(binary);
    bytes.set(magic);
    bytes.writeBigUInt64BE(BigInt(at), OFFSET_AT);
    bytes.set(text, BINARY_BYTES);
    bytes.set(checksum(bytes), CHECKSUM_AT);
    return bytes;
  };
  return Buffer.concat([copy(PRIMARY_MAGIC, 0), copy(SECONDARY_MAGIC, COPY_BYTES)]);
}

/** SHA-256 over the whole copy with zeros for the checksum, padded as the field is. */
function checksum(copy: Buffer): Buffer {
  const hash = createHash('sha256');
  hash.update(copy.subarray(0, CHECKSUM_AT)).update(Buffer.alloc(CHECKSUM_BYTES));
  hash.update(copy.subarray(CHECKSUM_AT + CHECKSUM_BYTES));
  return Buffer.concat([hash.digest(), Buffer.alloc(CHECKSUM_BYTES - 32)]);
}
