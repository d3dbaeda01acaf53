/** How bytes are put together before they are signed, hashed or derived from: never two meanings for the same bytes. */
import { concatBytes, utf8 } from '../bytes.ts';

/** Joins parts so that no two lists of parts give the same bytes: each has its length before it (4 B, big-endian). */
export function framed(...parts: readonly Uint8Array[]): Uint8Array {
  return concatBytes(...parts.flatMap((part) => [lengthOf(part), part]));
}

function lengthOf(part: Uint8Array): Uint8Array {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, part.length);
  return length;
}

/** "vmc/1 " + text + NUL: the beginning of everything that is signed or derived here; no two uses share one. */
export const domain = (text: string): Uint8Array => utf8(`vmc/1 ${text}\0`);

/**
 * What a signed statement covers:
 *
 *   "vmc/1 " + context + NUL, then for each part: 4 B length (big-endian), the part
 *
 * No SSH signature can be mistaken for one: those cover data that begins with a 4-byte length, never with "vmc/".
 */
export function statementBytes(context: string, parts: readonly Uint8Array[]): Uint8Array {
  if (context.includes('\0')) throw new RangeError('a context has no NUL');
  return concatBytes(domain(context), framed(...parts));
}
