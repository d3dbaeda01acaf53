/**
 * Cryptography by node:crypto: verifying, ML-KEM-768, and the fast twins of `portable.ts` for daemons.
 * Verifying is here and not in tweetnacl because OpenSSL also refuses signatures with S ≥ L (RFC 8032, 5.1.7).
 */
import {
  createPrivateKey,
  createPublicKey,
  sign as cryptoSign,
  verify as cryptoVerify,
  decapsulate,
  diffieHellman,
  encapsulate,
  type KeyObject,
} from 'node:crypto';
import { plainBytes } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import {
  type Ed25519PublicKey,
  ed25519PublicKey,
  type MlKemPublicKey,
  mlKemPublicKey,
  SIZE,
  type Signature,
  signature,
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

/** False for every signature that does not hold, also one of a wrong length or by a key that is no point. */
export function verify(message: Uint8Array, peer: Ed25519PublicKey, signed: Uint8Array): boolean {
  if (signed.length !== SIZE.signature) return false;
  try {
    return cryptoVerify(null, message, publicKey('ed25519', peer), signed);
  } catch {
    return false;
  }
}

/** As `portable.ed25519FromSeed`. */
export function ed25519FromSeed(seed: Uint8Array): Ed25519PublicKey {
  return ed25519PublicKey(rawPublic(privateKey('ed25519', seed)));
}

/** As `portable.sign`, about a hundred times as fast. */
export function sign(message: Uint8Array, seed: Uint8Array): Signature {
  return signature(plainBytes(cryptoSign(null, message, privateKey('ed25519', seed))));
}

/** As `portable.x25519FromSecret`. */
export function x25519FromSecret(secret: Uint8Array): X25519PublicKey {
  return x25519PublicKey(rawPublic(privateKey('x25519', secret)));
}

/** As `portable.agree`. @throws VmcError 'bad-data' when the other key forces an all-zero secret. */
export function agree(secret: Uint8Array, peer: X25519PublicKey): Uint8Array {
  const own = privateKey('x25519', secret);
  try {
    return plainBytes(diffieHellman({ privateKey: own, publicKey: publicKey('x25519', peer) }));
  } catch (cause) {
    // OpenSSL refuses the all-zero secret of a small-order key itself; a test keeps watch over that.
    throw new VmcError('bad-data', 'The X25519 key of the other side is a weak one.', undefined, { cause });
  }
}

/** The ML-KEM-768 encapsulation key of a 64-byte seed d ‖ z (FIPS 203, 7.1). */
export function mlKemFromSeed(seed: Uint8Array): MlKemPublicKey {
  return mlKemPublicKey(rawPublic(privateKey('ml-kem-768', seed)));
}

export interface Encapsulation {
  ciphertext: Uint8Array;
  sharedSecret: Uint8Array;
}

/** @throws VmcError 'bad-data' when the key fails the modulus check (FIPS 203, 7.2). */
export function mlKemEncapsulate(peer: MlKemPublicKey): Encapsulation {
  try {
    const { ciphertext, sharedKey } = encapsulate(publicKey('ml-kem-768', peer));
    return { ciphertext: plainBytes(ciphertext), sharedSecret: plainBytes(sharedKey) };
  } catch (cause) {
    throw new VmcError('bad-data', 'The ML-KEM-768 key of the other side is not one.', undefined, { cause });
  }
}

/**
 * A ciphertext of the right length always gives a secret; a wrong one gives a random-looking one (implicit rejection).
 * @throws VmcError 'bad-data' for a wrong length.
 */
export function mlKemDecapsulate(seed: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  if (ciphertext.length !== SIZE.mlkem768Ciphertext)
    throw new VmcError('bad-data', 'The ML-KEM-768 ciphertext has a wrong length.');
  return plainBytes(decapsulate(privateKey('ml-kem-768', seed), ciphertext));
}
