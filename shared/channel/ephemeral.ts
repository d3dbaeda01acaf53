/** What one handshake needs that nobody can foresee. The state machines get it as an argument. */
import { randomBytes } from 'node:crypto';
import { plainBytes } from '../bytes.ts';
import { type MlKemPublicKey, SIZE } from '../identity/keys.ts';
import { type Encapsulation, mlKemEncapsulate } from '../identity/native.ts';
import { NONCE_BYTES } from './wire.ts';

export interface InitiatorRandom {
  /** 32 bytes. */
  x25519: Uint8Array;
  /** 64 bytes, d ‖ z. */
  mlkem768: Uint8Array;
  /** 32 bytes. */
  nonce: Uint8Array;
}

export interface ResponderRandom {
  x25519: Uint8Array;
  nonce: Uint8Array;
  encapsulate(peer: MlKemPublicKey): Encapsulation;
}

const random = (bytes: number): Uint8Array => plainBytes(randomBytes(bytes));

export function initiatorRandom(): InitiatorRandom {
  return { x25519: random(SIZE.secret), mlkem768: random(SIZE.mlkem768Seed), nonce: random(NONCE_BYTES) };
}

export function responderRandom(): ResponderRandom {
  return { x25519: random(SIZE.secret), nonce: random(NONCE_BYTES), encapsulate: mlKemEncapsulate };
}
