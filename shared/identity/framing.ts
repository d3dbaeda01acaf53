/** How bytes are put together before they are signed, hashed or derived from: never two meanings for the same bytes. */
import { utf8 } from '../bytes.ts';

/** Joins parts so that no two lists of parts give the same bytes: each has its length before it (4 B, big-endian). */
export const framed = (...parts: readonly Uint8Array[]): Uint8Array => framedAfter(NOTHING, parts);

const NOTHING = new Uint8Array(0);

/** In one piece: each handshake does this with kilobytes, several times. */
function framedAfter(head: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, head.length));
  const view = new DataView(out.buffer);
  out.set(head);
  let at = head.length;
  for (const part of parts) {
    view.setUint32(at, part.length);
    out.set(part, at + 4);
    at += 4 + part.length;
  }
  return out;
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
  return framedAfter(domain(context), parts);
}
