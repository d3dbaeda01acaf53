/**
 * Whether a device is blank: no signature that blkid knows, and zeros at both ends and where the data of a drive begin. A
 * drive whose LUKS header was wiped is not blank: it is what a backup of the header is for.
 */
import { open } from 'node:fs/promises';
import type { Observed } from './observe.ts';
import { HEADER_BYTES } from './parse-luks-header.ts';
import { signatureOf } from './signature.ts';

const SAMPLE_BYTES = 1024 * 1024;

/** @returns undefined for a blank one. */
export async function inspectContent(path: string, sizeBytes: number): Promise<Observed['content']> {
  const signature = await signatureOf(path);
  if (signature?.type === 'crypto_LUKS') return { kind: 'luks', unfinished: signature.unfinished === true };
  if (signature !== undefined) return { kind: 'other', description: signature.description };
  return (await looksZero(path, sizeBytes))
    ? undefined
    : { kind: 'other', description: 'data of a kind not known here' };
}

async function looksZero(path: string, sizeBytes: number): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const length = Math.min(SAMPLE_BYTES, sizeBytes);
    const last = sizeBytes - length;
    for (const position of new Set([0, Math.min(HEADER_BYTES, last), last])) {
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
