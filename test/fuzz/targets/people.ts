/** The same identities and the same moment at every run. */
import { type Identity, identityFromSeeds } from '../../../shared/identity/identity.ts';

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
