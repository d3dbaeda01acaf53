/**
 * The half of an identity's cryptography that runs unchanged in a browser (tweetnacl): making Ed25519 and X25519
 * keys, signing, agreeing. Its twin `native.ts` does the same faster where there is Node; a test holds them equal.
 */
import nacl from 'tweetnacl';
import { VmcError } from '../errors.ts';
import {
  type Ed25519PublicKey,
  ed25519PublicKey,
  type Signature,
  signature,
  type X25519PublicKey,
  x25519PublicKey,
} from './keys.ts';

/** The public key of a 32-byte seed (RFC 8032). */
export function ed25519FromSeed(seed: Uint8Array): Ed25519PublicKey {
  return ed25519PublicKey(nacl.sign.keyPair.fromSeed(seed).publicKey);
}

/** The public key of a 32-byte secret (RFC 7748). */
export function x25519FromSecret(secret: Uint8Array): X25519PublicKey {
  return x25519PublicKey(nacl.scalarMult.base(secret));
}

/** Signs with a seed and *its own* public key: a wrong pair would give the seed away, so identities check theirs. */
export function sign(message: Uint8Array, seed: Uint8Array, publicKey: Ed25519PublicKey): Signature {
  const both = new Uint8Array(64);
  both.set(seed);
  both.set(publicKey, 32);
  try {
    return signature(nacl.sign.detached(message, both));
  } finally {
    both.fill(0);
  }
}

/** X25519. @throws VmcError 'bad-data' when the other key forces an all-zero secret (RFC 7748, 6.1). */
export function agree(secret: Uint8Array, peer: X25519PublicKey): Uint8Array {
  const shared = nacl.scalarMult(secret, peer);
  if (shared.every((byte) => byte === 0))
    throw new VmcError('bad-data', 'The X25519 key of the other side is a weak one.');
  return shared;
}
