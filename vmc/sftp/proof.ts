/** What an SSH client proves of itself (RFC 4252, 7): that it holds an Ed25519 key. Pure. */
import { equalBytes, plainBytes } from '../../shared/bytes.ts';
import { type Ed25519PublicKey, ed25519PublicKey, SIZE } from '../../shared/identity/keys.ts';
import { verify } from '../../shared/identity/native.ts';
import { openSshBlob } from '../../shared/identity/ssh-form.ts';

/** @param blob the key as SSH writes it. @returns undefined for any other kind of key. */
export function keyOf(algorithm: string, blob: Uint8Array): Ed25519PublicKey | undefined {
  if (algorithm !== 'ssh-ed25519' || blob.length < SIZE.ed25519) return undefined;
  try {
    const key = ed25519PublicKey(Uint8Array.from(blob.subarray(blob.length - SIZE.ed25519)));
    return equalBytes(openSshBlob(key), plainBytes(blob)) ? key : undefined;
  } catch {
    return undefined; // one of the few that belong to nobody
  }
}

/** @param signed the session's id and the request, over which the signature has to be. */
export const isProven = (key: Ed25519PublicKey, signed: Uint8Array, signature: Uint8Array): boolean =>
  verify(plainBytes(signed), key, plainBytes(signature));
