/** Two peers and the steps between them, for the tests of the channel. Not a test itself. */
import { type InitiatorRandom, initiatorRandom, responderRandom } from '../../../shared/channel/ephemeral.ts';
import { Initiator } from '../../../shared/channel/initiator.ts';
import { KEY_LIMITS } from '../../../shared/channel/limits.ts';
import { HandshakeRefused } from '../../../shared/channel/refusal.ts';
import { Responder } from '../../../shared/channel/responder.ts';
import type { Purpose } from '../../../shared/channel/wire.ts';
import type { Cryptography } from '../../../shared/identity/cryptography.ts';
import { type Identity, identityFromSeeds } from '../../../shared/identity/identity.ts';
import { native } from '../../../shared/identity/native.ts';
import { portable } from '../../../shared/identity/portable.ts';

/** A fresh one each time: some tests wipe theirs. */
export const person = (fill: number): Identity =>
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

export const IMPLEMENTATIONS: readonly [string, Cryptography][] = [
  ['native', native],
  ['portable', portable],
];

/** Which cryptography either side uses. */
export interface Pairing {
  initiator: Cryptography;
  responder: Cryptography;
}
export const PAIRINGS: readonly [string, Pairing][] = IMPLEMENTATIONS.flatMap(([ours, initiator]) =>
  IMPLEMENTATIONS.map(([theirs, responder]): [string, Pairing] => [`${ours} to ${theirs}`, { initiator, responder }]),
);

export interface InitiatorChoice {
  identity?: Identity;
  peer?: Identity;
  purpose?: Purpose;
  cryptography?: Cryptography;
  /** The same twice makes the same hello twice, as steps are single-use. Copied. */
  random?: InitiatorRandom;
}

export function newInitiator(choice: InitiatorChoice = {}): Initiator {
  const { identity = alice, peer = vm, purpose = 'control', cryptography = native } = choice;
  const random = structuredClone(choice.random ?? initiatorRandom(cryptography));
  return new Initiator({ cryptography, identity, peer: peer.public.ed25519, purpose, random, limits: KEY_LIMITS });
}

export const newResponder = (identity = vm, cryptography: Cryptography = native): Responder =>
  new Responder({ cryptography, identity, limits: KEY_LIMITS });

export const neverSeen = { now: NOON, isReplay: () => false };

/** Both sides up to the point where the responder has answered. */
export async function exchange(
  initiator = newInitiator(),
  responder = newResponder(),
  cryptography: Cryptography = native,
) {
  const hello = await initiator.writeHello(NOON);
  await responder.readHello(hello, neverSeen);
  const answer = await responder.answer(responderRandom(cryptography), NOON);
  return { initiator, responder, hello, answer };
}

export const exchangeBy = (pairing: Pairing) =>
  exchange(newInitiator({ cryptography: pairing.initiator }), newResponder(vm, pairing.responder), pairing.responder);

/** A whole handshake. */
export async function handshake(pairing: Pairing = { initiator: native, responder: native }) {
  const { initiator, responder, answer } = await exchangeBy(pairing);
  await initiator.readHello(answer.hello, NOON);
  await initiator.readConfirmation(answer.confirmation);
  await responder.readConfirmation(await initiator.writeConfirmation());
  return { ours: await initiator.split(), theirs: await responder.split() };
}

/** The reason of a refusal, or what else came of it. */
export async function reasonOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
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
