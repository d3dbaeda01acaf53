/**
 * An Ed25519 key as OpenSSH keeps private keys, unencrypted (OpenSSH's PROTOCOL.key). Not by ssh2's own generator: it drops
 * the zero bytes that a public key begins with, and cannot read one in 256 of its own files (mscdex/ssh2#1390). Pure.
 */
import { concatBytes, utf8 } from '../../shared/bytes.ts';
import { framed } from '../../shared/identity/framing.ts';
import type { Ed25519PublicKey } from '../../shared/identity/keys.ts';
import { openSshBlob } from '../../shared/identity/ssh-form.ts';

const BLOCK = 8;
const LINE = 70;

/** @param seed 32 bytes. @param check any 4 bytes: they stand in the file twice. */
export function openSshPrivateKey(
  { seed, key }: { seed: Uint8Array; key: Ed25519PublicKey },
  check: Uint8Array,
  comment: string,
): string {
  const blob = openSshBlob(key);
  const own = concatBytes(check, check, blob, framed(concatBytes(seed, key), utf8(comment)));
  const padding = Uint8Array.from({ length: (BLOCK - (own.length % BLOCK)) % BLOCK }, (_, index) => index + 1);
  const none = utf8('none');
  const file = concatBytes(
    utf8('openssh-key-v1\0'),
    framed(none, none, new Uint8Array(0)), // cipher, key derivation and its options
    new Uint8Array([0, 0, 0, 1]), // keys
    framed(blob, concatBytes(own, padding)),
  );
  const lines = file.toBase64().match(new RegExp(`.{1,${LINE}}`, 'g')) ?? [];
  return ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n');
}
