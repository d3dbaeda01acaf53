/**
 * An identity: an Ed25519 key to sign with, an X25519 and an ML-KEM-768 key to wrap secrets for it. People, VMs and
 * hosts all have one; the backend has only its TLS key. The Ed25519 key *is* who they are (its fingerprint is what
 * people compare); it signs the other two (`proof`), or whoever hands out public keys could slip in wrapping keys.
 */
import { concatBytes, equalBytes, utf8, wipe } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import type { KeyMaker } from './cryptography.ts';
import type { Ed25519PublicKey, MlKemPublicKey, Signature, X25519PublicKey } from './keys.ts';
import { makeIdentity, PROOF_CONTEXT, randomSeeds } from './make-identity.ts';
import { forgetSigningKey, native, sha256 } from './native.ts';
import { verifyStatement } from './statement.ts';

export interface PublicIdentity {
  readonly ed25519: Ed25519PublicKey;
  readonly x25519: X25519PublicKey;
  readonly mlkem768: MlKemPublicKey;
  /** Signature of `ed25519` over the two wrapping keys. */
  readonly proof: Signature;
}

/** Seeds, from which the rest follows. */
export interface IdentitySecret {
  /** 32 bytes (RFC 8032). */
  readonly ed25519: Uint8Array;
  /** 32 bytes (RFC 7748). */
  readonly x25519: Uint8Array;
  /** 64 bytes, d ‖ z (FIPS 203). */
  readonly mlkem768: Uint8Array;
}

export interface Identity {
  readonly public: PublicIdentity;
  readonly secret: IdentitySecret;
}

export const generateIdentity = (maker: KeyMaker = native): Identity => makeIdentity(randomSeeds(native.random), maker);

export const identityFromSeeds = (secret: IdentitySecret, maker: KeyMaker = native): Identity =>
  makeIdentity(secret, maker);

/** True when the Ed25519 key itself signed the two wrapping keys. */
export function proofHolds(identity: PublicIdentity): boolean {
  return verifyStatement(identity.ed25519, PROOF_CONTEXT, [identity.x25519, identity.mlkem768], identity.proof);
}

//    0  4  "VMI1"
//    4 32  Ed25519 seed
//   36 32  X25519 secret
//   68 64  ML-KEM-768 seed
//  132 32  SHA-256 of bytes 4 to 131 ‖ Ed25519 public ‖ X25519 public ‖ ML-KEM-768 public
const MAGIC = utf8('VMI1');
const SECRET_BYTES = 164;

/** Over the secrets as well: not every bit of theirs shows in a public key (the z of ML-KEM, five bits of X25519). */
function digest({ secret, public: who }: Identity): Uint8Array {
  return sha256(secret.ed25519, secret.x25519, secret.mlkem768, who.ed25519, who.x25519, who.mlkem768);
}

/** 164 bytes, to be kept as a secret (0600, or sealed). The caller wipes them after use. */
export function encodeIdentitySecret(identity: Identity): Uint8Array {
  const { ed25519, x25519, mlkem768 } = identity.secret;
  return concatBytes(MAGIC, ed25519, x25519, mlkem768, digest(identity));
}

/** @throws VmcError 'bad-data' unless the secret halves give just the public halves they were stored with. */
export function decodeIdentitySecret(bytes: Uint8Array): Identity {
  if (bytes.length !== SECRET_BYTES || !equalBytes(bytes.subarray(0, 4), MAGIC))
    throw new VmcError('bad-data', 'This is not an identity of vmc.');
  // Copies, also of a Buffer (whose slice is a view): the caller wipes the bytes.
  const copy = (from: number, to: number) => Uint8Array.from(bytes.subarray(from, to));
  const identity = identityFromSeeds({
    ed25519: copy(4, 36),
    x25519: copy(36, 68),
    mlkem768: copy(68, 132),
  });
  if (equalBytes(digest(identity), bytes.subarray(132))) return identity;
  wipeIdentity(identity);
  throw new VmcError('bad-data', 'The identity is damaged: its keys do not fit together.', 'Restore it from a backup.');
}

/** Overwrites the secret halves. The identity is of no use afterwards. */
export function wipeIdentity(identity: Identity): void {
  forgetSigningKey(identity.secret.ed25519);
  wipe(identity.secret.ed25519);
  wipe(identity.secret.x25519);
  wipe(identity.secret.mlkem768);
}
