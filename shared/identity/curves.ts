/** Ed25519 and X25519 by tweetnacl: the half of `portable.ts` that also runs, step by step the same, on a person's device. */
import nacl from 'tweetnacl';
import { concatBytes, wipe } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import type { X25519Pair } from './cryptography.ts';
import {
  type Ed25519PublicKey,
  ed25519PublicKey,
  SIZE,
  type Signature,
  signature,
  type X25519PublicKey,
  x25519PublicKey,
} from './keys.ts';

/** As `native.ed25519FromSeed`. */
export const ed25519FromSeed = (seed: Uint8Array): Ed25519PublicKey =>
  ed25519PublicKey(nacl.sign.keyPair.fromSeed(seed).publicKey);

/** Signs with a seed and *its own* public key: a wrong pair would give the seed away, so identities check theirs. */
export function sign(message: Uint8Array, seed: Uint8Array, publicKey: Ed25519PublicKey): Signature {
  const both = concatBytes(seed, publicKey);
  try {
    return signature(nacl.sign.detached(message, both));
  } finally {
    wipe(both);
  }
}

/** L of RFC 8032, 5.1, little-endian: the order of the group. */
const L = Uint8Array.fromHex('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010');

/** S < L, as RFC 8032, 5.1.7 demands: tweetnacl takes S + L as well. Signatures are public, so it may take its time. */
function isReduced(s: Uint8Array): boolean {
  for (let i = L.length - 1; i >= 0; i--) {
    const difference = (s[i] ?? 0) - (L[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** As `native.verify`. */
export function verify(message: Uint8Array, signer: Ed25519PublicKey, signed: Uint8Array): boolean {
  if (signed.length !== SIZE.signature || !isReduced(signed.subarray(32))) return false;
  return nacl.sign.detached.verify(message, signed, signer);
}

export function x25519Pair(secret: Uint8Array): X25519Pair {
  return {
    publicKey: x25519FromSecret(secret),
    agree: (peer) => agree(secret, peer),
    forget() {}, // nothing was kept
  };
}

/** As `native.x25519FromSecret`. */
export const x25519FromSecret = (secret: Uint8Array): X25519PublicKey => x25519PublicKey(nacl.scalarMult.base(secret));

/** X25519. @throws VmcError 'bad-data' when the other key forces an all-zero secret (RFC 7748, 6.1). */
export function agree(secret: Uint8Array, peer: X25519PublicKey): Uint8Array {
  const shared = nacl.scalarMult(secret, peer);
  if (shared.reduce((bits, byte) => bits | byte, 0) === 0)
    throw new VmcError('bad-data', 'The X25519 key of the other side is a weak one.');
  return shared;
}
