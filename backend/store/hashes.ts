/** One-time codes and tokens: 128 bits or more of chance, of which only the SHA-256 is kept. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

export function sha256(secret: string | Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(secret).digest());
}

/** Constant time. */
export function matchesHash(secret: Uint8Array, hash: Uint8Array): boolean {
  return timingSafeEqual(sha256(secret), hash);
}

/** Four groups of eight hex digits: can be read out over the telephone, and never starts with a dash. */
export function makeCode(): string {
  return (randomBytes(16).toString('hex').match(/.{8}/g) ?? []).join('-');
}

/** 43 characters of base64url. */
export const makeSessionToken = (): string => randomBytes(32).toString('base64url');

export const makeToken = (): Uint8Array => new Uint8Array(randomBytes(32));

/** e.g. makeId('vm-', 6) → 'vm-0123456789ab'. */
export const makeId = (prefix: string, bytes: number): string => prefix + randomBytes(bytes).toString('hex');
