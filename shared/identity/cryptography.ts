/**
 * What identities and channels need of cryptography, with two implementations that accept and refuse the same inputs:
 * `native.ts` (node:crypto) where there is Node, `portable.ts` (tweetnacl, WebCrypto, noble) where there may be a
 * browser. What WebCrypto does is asynchronous there, so whoever uses this interface awaits it.
 */
import type { Ed25519PublicKey, MlKemPublicKey, Signature, X25519PublicKey } from './keys.ts';

export type Awaitable<T> = T | Promise<T>;

/** What making an identity takes. */
export interface KeyMaker {
  /** @param seed 32 bytes (RFC 8032). */
  ed25519FromSeed(seed: Uint8Array): Ed25519PublicKey;
  /** @param secret 32 bytes (RFC 7748). */
  x25519FromSecret(secret: Uint8Array): X25519PublicKey;
  /** @param seed 64 bytes, d ‖ z (FIPS 203, 7.1). */
  mlKemFromSeed(seed: Uint8Array): MlKemPublicKey;
  /** Signs with a seed and *its own* public key: a wrong pair would give the seed away, so identities check theirs. */
  sign(message: Uint8Array, seed: Uint8Array, publicKey: Ed25519PublicKey): Signature;
}

export interface Cryptography extends KeyMaker {
  /** Unpredictable bytes. */
  random(length: number): Uint8Array;
  sha256(...parts: readonly Uint8Array[]): Awaitable<Uint8Array>;
  /** HMAC-SHA-256. */
  hmac(key: Uint8Array, message: Uint8Array): Awaitable<Uint8Array>;
  /** RFC 8032, 5.1.7, S < L included. False for whatever does not hold, also for a wrong length or a key off the curve. */
  verify(message: Uint8Array, signer: Ed25519PublicKey, signature: Uint8Array): boolean;
  x25519Pair(secret: Uint8Array): X25519Pair;
  mlKemPair(seed: Uint8Array): MlKemPair;
  /** @throws VmcError 'bad-data' when the key fails the modulus check (FIPS 203, 7.2). */
  mlKemEncapsulate(peer: MlKemPublicKey): Encapsulation;
  /** Takes over the 32 bytes of `key`. */
  aesGcm(key: Uint8Array): Awaitable<AesGcm>;
}

/** A key pair for one agreement. It uses the secret where it lies: who made the secret wipes it, after `forget`. */
export interface X25519Pair {
  readonly publicKey: X25519PublicKey;
  /** @throws VmcError 'bad-data' when the other key forces an all-zero secret (RFC 7748, 6.1). */
  agree(peer: X25519PublicKey): Uint8Array;
  forget(): void;
}

export interface MlKemPair {
  readonly publicKey: MlKemPublicKey;
  /**
   * A ciphertext of the right length always gives a secret; a wrong one gives a random-looking one (implicit rejection).
   * @throws VmcError 'bad-data' for a wrong length.
   */
  decapsulate(ciphertext: Uint8Array): Uint8Array;
  forget(): void;
}

export interface Encapsulation {
  ciphertext: Uint8Array;
  sharedSecret: Uint8Array;
}

/** AES-256-GCM under one key, IVs of 96 bits, tags of 128. Who calls sees to it that no IV comes twice. */
export interface AesGcm {
  /** @returns header ‖ ciphertext ‖ tag; the header is authenticated, not encrypted. */
  seal(iv: Uint8Array, header: Uint8Array, plaintext: Uint8Array): Awaitable<Uint8Array>;
  /** @returns the plaintext of header ‖ ciphertext ‖ tag, or undefined when anything at all was changed. */
  open(iv: Uint8Array, headerBytes: number, sealed: Uint8Array): Awaitable<Uint8Array | undefined>;
  /** Forgets the key. */
  end(): void;
}
