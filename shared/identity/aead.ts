/** AES-256-GCM (SP 800-38D) with a 96-bit IV and the whole 128-bit tag. Who calls sees to it that no IV comes twice. */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { concatBytes, plainBytes } from '../bytes.ts';

export const TAG_BYTES = 16;

/** @returns ciphertext ‖ tag. */
export function seal(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  // The tag's length is said, for Node accepts shorter ones otherwise.
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(aad);
  return concatBytes(cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
}

/** @returns the plaintext, or undefined when anything at all was changed. */
export function open(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.length < TAG_BYTES) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES });
  decipher.setAAD(aad).setAuthTag(sealed.subarray(-TAG_BYTES));
  const plaintext = decipher.update(sealed.subarray(0, -TAG_BYTES));
  try {
    decipher.final();
  } catch {
    plaintext.fill(0); // not authenticated: nobody gets to see it
    return undefined;
  }
  return plainBytes(plaintext);
}
