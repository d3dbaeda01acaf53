/** Cryptography by node:crypto (OpenSSL), for daemons and for `connect`. Its twin for browsers is `portable.ts`. */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  sign as cryptoSign,
  verify as cryptoVerify,
  decapsulate,
  diffieHellman,
  encapsulate,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { plainBytes, wipe } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import type { Cryptography, Encapsulation, MlKemPair, X25519Pair } from './cryptography.ts';
import {
  type Ed25519PublicKey,
  ed25519PublicKey,
  type MlKemPublicKey,
  mlKemPublicKey,
  SIZE,
  type Signature,
  signature,
  TAG_BYTES,
  type X25519PublicKey,
  x25519PublicKey,
} from './keys.ts';

type Algorithm = 'ed25519' | 'x25519' | 'ml-kem-768';

function privateKey(algorithm: Algorithm, key: Uint8Array): KeyObject {
  const format = algorithm === 'ml-kem-768' ? 'raw-seed' : 'raw-private';
  return createPrivateKey({ key: asBuffer(key), format, asymmetricKeyType: algorithm });
}

function publicKey(algorithm: Algorithm, key: Uint8Array): KeyObject {
  return createPublicKey({ key: asBuffer(key), format: 'raw-public', asymmetricKeyType: algorithm });
}

/** A view, not a copy: secrets get no second place to lie around in. */
const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const rawPublic = (secret: KeyObject): Uint8Array =>
  plainBytes(createPublicKey(secret).export({ format: 'raw-public' }));

export const random = (length: number): Uint8Array => plainBytes(randomBytes(length));

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return plainBytes(hash.digest());
}

export const hmac = (key: Uint8Array, message: Uint8Array): Uint8Array =>
  plainBytes(createHmac('sha256', key).update(message).digest());

/** OpenSSL makes the check S < L itself; a test keeps watch over that. */
export function verify(message: Uint8Array, signer: Ed25519PublicKey, signed: Uint8Array): boolean {
  if (signed.length !== SIZE.signature) return false;
  try {
    return cryptoVerify(null, message, publicKey('ed25519', signer), signed);
  } catch {
    return false;
  }
}

export const ed25519FromSeed = (seed: Uint8Array): Ed25519PublicKey =>
  ed25519PublicKey(rawPublic(privateKey('ed25519', seed)));

/** Importing a seed takes as long as signing with it, and a daemon signs with one seed all its life. */
const signingKeys = new WeakMap<Uint8Array, KeyObject>();

export function sign(message: Uint8Array, seed: Uint8Array): Signature {
  let key = signingKeys.get(seed);
  if (key === undefined) {
    key = privateKey('ed25519', seed);
    signingKeys.set(seed, key);
  }
  return signature(plainBytes(cryptoSign(null, message, key)));
}

/** Before a seed is wiped: what was imported of it goes too (OpenSSL clears it when it is collected). */
export function forgetSigningKey(seed: Uint8Array): void {
  signingKeys.delete(seed);
}

export function x25519Pair(secret: Uint8Array): X25519Pair {
  let own: KeyObject | undefined = privateKey('x25519', secret);
  return {
    publicKey: x25519PublicKey(rawPublic(own)),
    agree(peer) {
      if (own === undefined) throw new TypeError('the key was forgotten');
      try {
        return plainBytes(diffieHellman({ privateKey: own, publicKey: publicKey('x25519', peer) }));
      } catch (cause) {
        // OpenSSL refuses the all-zero secret of a small-order key itself; a test keeps watch over that.
        throw new VmcError('bad-data', 'The X25519 key of the other side is a weak one.', undefined, { cause });
      }
    },
    forget() {
      own = undefined;
    },
  };
}

export const x25519FromSecret = (secret: Uint8Array): X25519PublicKey => x25519Pair(secret).publicKey;

export function mlKemPair(seed: Uint8Array): MlKemPair {
  let own: KeyObject | undefined = privateKey('ml-kem-768', seed);
  return {
    publicKey: mlKemPublicKey(rawPublic(own)),
    decapsulate(ciphertext) {
      if (own === undefined) throw new TypeError('the key was forgotten');
      if (ciphertext.length !== SIZE.mlkem768Ciphertext)
        throw new VmcError('bad-data', 'The ML-KEM-768 ciphertext has a wrong length.');
      return plainBytes(decapsulate(own, ciphertext));
    },
    forget() {
      own = undefined;
    },
  };
}

export const mlKemFromSeed = (seed: Uint8Array): MlKemPublicKey => mlKemPair(seed).publicKey;

export function mlKemEncapsulate(peer: MlKemPublicKey): Encapsulation {
  try {
    const { ciphertext, sharedKey } = encapsulate(publicKey('ml-kem-768', peer));
    return { ciphertext: plainBytes(ciphertext), sharedSecret: plainBytes(sharedKey) };
  } catch (cause) {
    // OpenSSL makes the modulus check when it takes the key.
    throw new VmcError('bad-data', 'The ML-KEM-768 key of the other side is not one.', undefined, { cause });
  }
}

const CIPHER = 'aes-256-gcm';
// The tag's length is said, for Node accepts shorter ones otherwise.
const TAG = { authTagLength: TAG_BYTES };

export function aesGcm(key: Uint8Array) {
  return {
    seal(iv: Uint8Array, header: Uint8Array, plaintext: Uint8Array): Uint8Array {
      const cipher = createCipheriv(CIPHER, key, iv, TAG).setAAD(header);
      const sealed = plainBytes(Buffer.allocUnsafeSlow(header.length + plaintext.length + TAG_BYTES));
      sealed.set(header);
      sealed.set(cipher.update(plaintext), header.length);
      cipher.final(); // gives nothing: GCM is a stream cipher
      sealed.set(cipher.getAuthTag(), header.length + plaintext.length);
      return sealed;
    },
    open(iv: Uint8Array, headerBytes: number, sealed: Uint8Array): Uint8Array | undefined {
      if (sealed.length < headerBytes + TAG_BYTES) return undefined;
      const decipher = createDecipheriv(CIPHER, key, iv, TAG);
      decipher.setAAD(sealed.subarray(0, headerBytes)).setAuthTag(sealed.subarray(-TAG_BYTES));
      const plaintext = decipher.update(sealed.subarray(headerBytes, -TAG_BYTES));
      try {
        decipher.final();
      } catch {
        plaintext.fill(0); // not authenticated: nobody gets to see it
        return undefined;
      }
      return plainBytes(plaintext);
    },
    end: () => wipe(key),
  };
}

export const native = {
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
