/** What one handshake needs that nobody can foresee. The state machines get it as an argument, and wipe it. */
import type { Cryptography, Encapsulation } from '../identity/cryptography.ts';
import { type MlKemPublicKey, SIZE } from '../identity/keys.ts';
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
  /** ML-KEM's own randomness is inside. */
  encapsulate(peer: MlKemPublicKey): Encapsulation;
}

export function initiatorRandom({ random }: Cryptography): InitiatorRandom {
  return { x25519: random(SIZE.secret), mlkem768: random(SIZE.mlkem768Seed), nonce: random(NONCE_BYTES) };
}

export function responderRandom({ random, mlKemEncapsulate }: Cryptography): ResponderRandom {
  return { x25519: random(SIZE.secret), nonce: random(NONCE_BYTES), encapsulate: (peer) => mlKemEncapsulate(peer) };
}
