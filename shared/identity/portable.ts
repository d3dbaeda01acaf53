/**
 * Cryptography for wherever JavaScript runs, a browser above all: tweetnacl for Ed25519 and X25519, noble for
 * ML-KEM-768, WebCrypto for the rest. Its twin `native.ts` does the same faster where there is Node; tests hold them equal.
 */
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import { concatBytes, wipe } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import type { AesGcm, Cryptography, Encapsulation, MlKemPair } from './cryptography.ts';
import { ed25519FromSeed, sign, verify, x25519FromSecret, x25519Pair } from './curves.ts';
import { type MlKemPublicKey, mlKemPublicKey, SIZE, TAG_BYTES } from './keys.ts';

const { subtle } = globalThis.crypto;

/** WebCrypto takes no shared memory; nothing here ever is. */
type Plain = Uint8Array<ArrayBuffer>;
const plain = (bytes: Uint8Array): Plain => bytes as Plain;

export const random = (length: number): Uint8Array => globalThis.crypto.getRandomValues(new Uint8Array(length));

export async function sha256(...parts: readonly Uint8Array[]): Promise<Uint8Array> {
  return new Uint8Array(await subtle.digest('SHA-256', plain(concatBytes(...parts))));
}

export async function hmac(key: Uint8Array, message: Uint8Array): Promise<Uint8Array> {
  // RFC 2104 pads a key with zeros, so this is the same key; WebCrypto refuses an empty one.
  const bytes = key.length === 0 ? new Uint8Array(1) : key;
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const imported = await subtle.importKey('raw', plain(bytes), algorithm, false, ['sign']);
  return new Uint8Array(await subtle.sign('HMAC', imported, plain(message)));
}

export function mlKemPair(seed: Uint8Array): MlKemPair {
  const { publicKey, secretKey } = ml_kem768.keygen(seed);
  return {
    publicKey: mlKemPublicKey(publicKey),
    decapsulate(ciphertext) {
      if (ciphertext.length !== SIZE.mlkem768Ciphertext)
        throw new VmcError('bad-data', 'The ML-KEM-768 ciphertext has a wrong length.');
      return ml_kem768.decapsulate(ciphertext, secretKey);
    },
    forget: () => wipe(secretKey),
  };
}

/** As `native.mlKemFromSeed`. */
export function mlKemFromSeed(seed: Uint8Array): MlKemPublicKey {
  const pair = mlKemPair(seed);
  pair.forget();
  return pair.publicKey;
}

/**
 * As `native.mlKemEncapsulate`; noble makes the modulus check.
 * @param randomness the 32 bytes m of FIPS 203, 7.2. Only test vectors have a reason to set it.
 */
export function mlKemEncapsulate(peer: MlKemPublicKey, randomness = random(32)): Encapsulation {
  try {
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(peer, randomness);
    return { ciphertext: cipherText, sharedSecret };
  } catch (cause) {
    throw new VmcError('bad-data', 'The ML-KEM-768 key of the other side is not one.', undefined, { cause });
  } finally {
    wipe(randomness);
  }
}

export async function aesGcm(key: Uint8Array): Promise<AesGcm> {
  const imported = await subtle.importKey('raw', plain(key), 'AES-GCM', false, ['encrypt', 'decrypt']);
  wipe(key);
  const parameters = (iv: Uint8Array, header: Uint8Array) => ({
    name: 'AES-GCM',
    iv: plain(iv),
    additionalData: plain(header),
    tagLength: 8 * TAG_BYTES,
  });
  return {
    async seal(iv, header, plaintext) {
      const sealed = await subtle.encrypt(parameters(iv, header), imported, plain(plaintext));
      return concatBytes(header, new Uint8Array(sealed));
    },
    async open(iv, headerBytes, sealed) {
      if (sealed.length < headerBytes + TAG_BYTES) return undefined;
      const header = sealed.subarray(0, headerBytes);
      try {
        return new Uint8Array(
          await subtle.decrypt(parameters(iv, header), imported, plain(sealed.subarray(headerBytes))),
        );
      } catch {
        return undefined; // WebCrypto has one error for it: OperationError
      }
    },
    end() {}, // WebCrypto holds the key, and lets go of it with this object
  };
}

export const portable = {
  random,
  sha256,
  hmac,
  ed25519FromSeed,
  sign,
  verify,
  x25519FromSecret,
  x25519Pair,
  mlKemFromSeed,
  mlKemPair,
  mlKemEncapsulate,
  aesGcm,
} satisfies Cryptography;
