/** AES-256-GCM (SP 800-38D) for one secret at rest, under a key that serves for nothing else. */
import { concatBytes } from '../bytes.ts';
import { aesGcm } from './native.ts';

/** @returns ciphertext ‖ tag. */
export const seal = (key: Uint8Array, iv: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array =>
  aesGcm(key).seal(iv, aad, plaintext).subarray(aad.length);

/** @returns the plaintext, or undefined when anything at all was changed. */
export const open = (key: Uint8Array, iv: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined =>
  aesGcm(key).open(iv, aad.length, concatBytes(aad, sealed));
