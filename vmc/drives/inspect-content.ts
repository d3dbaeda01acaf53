/**
 * Whether a device is blank: zeros at both ends, where all signatures are, and where the data of a drive begin. A
 * drive whose LUKS header was wiped is not blank: it is what a backup of the header is for.
 */
import { open } from 'node:fs/promises';
import type { Observed } from './observe.ts';
import { HEADER_BYTES } from './parse-luks-header.ts';
import { otherSignatureOf, ownSignatureOf } from './signature.ts';

const MIB = 1024 * 1024;
/** libblkid looks no further in than 4 MiB and a page (the second header of LUKS2), nor further from the end than 3087 sectors (Promise). */
const START_BYTES = 5 * MIB;
const END_BYTES = 2 * MIB;
const SAMPLE_BYTES = MIB;

/** @returns undefined for a blank one. */
export async function inspectContent(path: string, sizeBytes: number): Promise<Observed['content']> {
  const own = await ownSignatureOf(path);
  if (own?.type === 'crypto_LUKS') return { kind: 'luks', unfinished: own.unfinished === true };
  if (own === undefined && (await looksZero(path, sizeBytes))) return undefined; // so blkid would know nothing
  const signature = own ?? (await otherSignatureOf(path));
  return { kind: 'other', description: signature?.description ?? 'data of a kind not known here' };
}

async function looksZero(path: string, sizeBytes: number): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const end = Math.max(0, sizeBytes - END_BYTES);
    for (const [position, most] of [
      [0, START_BYTES],
      [Math.min(HEADER_BYTES, end), SAMPLE_BYTES],
      [end, END_BYTES],
    ] as const) {
      const length = Math.min(most, sizeBytes - position);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
      if (bytesRead !== length || !isZero(buffer)) return false;
    }
    return true;
  } finally {
    await file.close();
  }
}

/** A buffer equals itself shifted by one byte only when all its bytes are the first one. */
const isZero = (buffer: Buffer) =>
  buffer.length === 0 || (buffer[0] === 0 && buffer.subarray(1).equals(buffer.subarray(0, -1)));
