/**
 * Key types that cannot be mixed up: each is a Uint8Array with a brand, made only by the functions here,
 * so that whoever holds one holds the right number of bytes.
 */
import { VmcError } from '../errors.ts';

declare const brand: unique symbol;
type Key<Name extends string> = Uint8Array & { readonly [brand]: Name };

export type Ed25519PublicKey = Key<'Ed25519PublicKey'>;
export type X25519PublicKey = Key<'X25519PublicKey'>;
export type MlKemPublicKey = Key<'MlKemPublicKey'>;
export type Signature = Key<'Signature'>;

/** Bytes of each, from RFC 8032, RFC 7748 and FIPS 203 (ML-KEM-768). */
export const SIZE = {
  ed25519: 32,
  x25519: 32,
  mlkem768: 1184,
  mlkem768Ciphertext: 1088,
  mlkem768Seed: 64,
  signature: 64,
  secret: 32,
} as const;

/** The whole tag of GCM. */
export const TAG_BYTES = 16;

function sized(bytes: Uint8Array, size: number, what: string): Uint8Array {
  if (bytes.length !== size) throw new VmcError('bad-data', `${what} has ${bytes.length} bytes, not ${size}.`);
  return bytes;
}

/**
 * @throws VmcError 'bad-data': wrong length; a second spelling of a point (RFC 8032, 5.1.3); or a point of small order,
 * for which anyone can make signatures. That it is on the curve shows when a signature holds.
 */
export function ed25519PublicKey(bytes: Uint8Array): Ed25519PublicKey {
  sized(bytes, SIZE.ed25519, 'The Ed25519 public key');
  if (!isCanonical(bytes) || isSmallOrder(bytes))
    throw new VmcError('bad-data', 'The Ed25519 public key is one that belongs to nobody.');
  return bytes as Ed25519PublicKey;
}

/** @throws VmcError 'bad-data' for a wrong length. */
export function x25519PublicKey(bytes: Uint8Array): X25519PublicKey {
  return sized(bytes, SIZE.x25519, 'The X25519 public key') as X25519PublicKey;
}

/** @throws VmcError 'bad-data' for a wrong length. Its numbers are checked when it is used (FIPS 203, 7.2). */
export function mlKemPublicKey(bytes: Uint8Array): MlKemPublicKey {
  return sized(bytes, SIZE.mlkem768, 'The ML-KEM-768 public key') as MlKemPublicKey;
}

/** @throws VmcError 'bad-data' for a wrong length. */
export function signature(bytes: Uint8Array): Signature {
  return sized(bytes, SIZE.signature, 'The signature') as Signature;
}

/** y coordinates of the points whose order divides 8, little-endian hex. */
const SMALL_ORDER_Y: ReadonlySet<string> = new Set([
  `00${'00'.repeat(31)}`,
  `01${'00'.repeat(31)}`,
  `ec${'ff'.repeat(30)}7f`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
]);

/** y < p = 2^255 - 19. */
function isCanonical(point: Uint8Array): boolean {
  const beginsHigh = (point[0] ?? 0) >= 0xed && ((point[31] ?? 0) & 0x7f) === 0x7f;
  return !(beginsHigh && point.subarray(1, 31).every((byte) => byte === 0xff));
}

function isSmallOrder(point: Uint8Array): boolean {
  const y = Uint8Array.from(point);
  y[31] = (y[31] ?? 0) & 0x7f; // the top bit is the sign of x
  return SMALL_ORDER_Y.has(y.toHex());
}
