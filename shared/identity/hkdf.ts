/**
 * HKDF-SHA-256 (RFC 5869; two-step key derivation of SP 800-56C rev. 2), for outputs of up to 32 bytes: then the
 * expansion is one HMAC, which every language and WebCrypto have.
 */
import { createHash, createHmac } from 'node:crypto';
import { concatBytes, plainBytes, utf8 } from '../bytes.ts';

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return plainBytes(hash.digest());
}

export function hmac(key: Uint8Array, message: Uint8Array): Uint8Array {
  return plainBytes(createHmac('sha256', key).update(message).digest());
}

/** PRK = HMAC(salt, input). */
export const extract = (salt: Uint8Array, input: Uint8Array): Uint8Array => hmac(salt, input);

/** @param length 1 to 32 bytes. */
export function expand(key: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (length < 1 || length > 32) throw new RangeError('expand gives 1 to 32 bytes');
  return hmac(key, concatBytes(info, Uint8Array.of(1))).subarray(0, length);
}

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
