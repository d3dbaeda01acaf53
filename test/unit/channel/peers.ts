/** Two peers and the steps between them, for the tests of the channel. Not a test itself. */

import { initiatorRandom, responderRandom } from '../../../shared/channel/ephemeral.ts';
import { Initiator } from '../../../shared/channel/initiator.ts';
import { KEY_LIMITS } from '../../../shared/channel/limits.ts';
import { HandshakeRefused } from '../../../shared/channel/refusal.ts';
import { Responder } from '../../../shared/channel/responder.ts';
import type { Purpose } from '../../../shared/channel/wire.ts';
import { type Identity, identityFromSeeds } from '../../../shared/identity/identity.ts';
import { signStatementNatively } from '../../../shared/identity/statement.ts';

const person = (fill: number): Identity =>
  identityFromSeeds({
    ed25519: new Uint8Array(32).fill(fill),
    x25519: new Uint8Array(32).fill(fill + 1),
    mlkem768: new Uint8Array(64).fill(fill + 2),
  });

export const alice = person(10);
export const vm = person(20);
export const mallory = person(30);
/** 2026-11-22 12:00 UTC. */
export const NOON = 1_795_348_800_000;

export function newInitiator(overrides: { identity?: Identity; peer?: Identity; purpose?: Purpose } = {}): Initiator {
  return new Initiator({
    identity: overrides.identity ?? alice,
    peer: (overrides.peer ?? vm).public.ed25519,
    purpose: overrides.purpose ?? 'control',
    random: initiatorRandom(),
    limits: KEY_LIMITS,
    sign: signStatementNatively,
  });
}

export const newResponder = (identity = vm): Responder => new Responder({ identity, limits: KEY_LIMITS });

export const neverSeen = { now: NOON, isReplay: () => false };

/** Both sides up to the point where each has read the other's hello. */
export function exchange(initiator = newInitiator(), responder = newResponder()) {
  const hello = initiator.writeHello(NOON);
  responder.readHello(hello, neverSeen);
  const answer = responder.answer(responderRandom(), NOON);
  return { initiator, responder, hello, answer };
}

/** A whole handshake. */
export function handshake() {
  const { initiator, responder, answer } = exchange();
  initiator.readHello(answer.hello, NOON);
  initiator.readConfirmation(answer.confirmation);
  responder.readConfirmation(initiator.writeConfirmation());
  return { ours: initiator.split(), theirs: responder.split() };
}

/** The reason of a refusal, or what else came of it. */
export function reasonOf(work: () => unknown): string {
  try {
    work();
    return 'accepted';
  } catch (error) {
    return error instanceof HandshakeRefused ? error.reason : String(error);
  }
}

export function flipped(bytes: Uint8Array, at: number, mask = 1): Uint8Array {
  const copy = bytes.slice();
  copy[at] = (copy[at] ?? 0) ^ mask;
  return copy;
}
