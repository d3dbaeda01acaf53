/**
 * HKDF-SHA-256 (RFC 5869; two-step key derivation of SP 800-56C rev. 2) by node:crypto, for outputs of up to 32 bytes:
 * then the expansion is one HMAC, which every language and WebCrypto have. The channel, which must also run without
 * Node, has its own in channel/key-schedule.ts.
 */
import { concatBytes } from '../bytes.ts';
import { hmac } from './native.ts';

/** PRK = HMAC(salt, input). */
export const extract = (salt: Uint8Array, input: Uint8Array): Uint8Array => hmac(salt, input);

/** @param length 1 to 32 bytes. */
export function expand(key: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (length < 1 || length > 32) throw new RangeError('expand gives 1 to 32 bytes');
  return hmac(key, concatBytes(info, Uint8Array.of(1))).subarray(0, length);
}
