/** What people compare: the same text as `ssh-keygen -lf` prints for the same key. */
import { VmcError } from '../errors.ts';
import type { Ed25519PublicKey } from './keys.ts';
import { sha256 } from './native.ts';
import { fingerprintText, openSshBlob } from './ssh-form.ts';

/** 'SHA256:' and the unpadded base64 of the SHA-256 of the SSH wire form. */
export const fingerprint = (ed25519: Ed25519PublicKey): string => fingerprintText(sha256(openSshBlob(ed25519)));

/**
 * One line for `authorized_keys` or `known_hosts`.
 * @throws VmcError 'bad-request' for a comment with control characters: a line break would add a second key.
 */
export function openSshPublicKey(ed25519: Ed25519PublicKey, comment: string): string {
  if (/\p{Cc}/u.test(comment)) throw new VmcError('bad-request', 'The comment of a key is one line of plain text.');
  return `ssh-ed25519 ${openSshBlob(ed25519).toBase64()}${comment === '' ? '' : ` ${comment}`}`;
}
