/** The fixed inputs from which channel.json is computed, and both sides made of them. */
import { Initiator } from '../../shared/channel/initiator.ts';
import type { KeyLimits } from '../../shared/channel/limits.ts';
import { Responder } from '../../shared/channel/responder.ts';
import type { Purpose } from '../../shared/channel/wire.ts';
import type { Cryptography } from '../../shared/identity/cryptography.ts';
import { type Identity, identityFromSeeds } from '../../shared/identity/identity.ts';
import { portable } from '../../shared/identity/portable.ts';

export const bytes = (text: string): Uint8Array => Uint8Array.fromHex(text);
/** `length` bytes counting up from `first`, as hex. */
const counting = (first: number, length: number): string =>
  Uint8Array.from({ length }, (_, i) => first + i).toHex();
const seeds = (first: number) => ({
  ed25519: counting(first, 32),
  x25519: counting(first + 32, 32),
  mlkem768: counting(first + 64, 64),
});

/** A message: its text, or so many bytes of one value. */
export type MessageInput = { from: 'initiator' | 'responder' } & ({ text: string } | { fill: number; length: number });

export const inputs = {
  initiator: seeds(0),
  responder: seeds(64),
  purpose: 'terminal' as Purpose,
  initiatorTime: 1_795_348_800_000,
  responderTime: 1_795_348_801_234,
  initiatorEphemeral: { x25519: counting(144, 32), mlkem768: counting(176, 64), nonce: counting(240, 32) },
  responderEphemeral: { x25519: counting(17, 32), nonce: counting(49, 32), m: counting(81, 32) },
  /** Small ones, so that key updates are in the vector. Real ones: 2^20 records, 16 GiB. */
  keyLimits: { records: 4, bytes: 65_536 } satisfies KeyLimits,
  messages: [
    { from: 'initiator', text: 'hello' },
    { from: 'responder', text: '' },
    { from: 'initiator', text: 'two' },
    { from: 'responder', text: 'Grüße' },
    { from: 'initiator', fill: 0xab, length: 65_539 },
    { from: 'initiator', text: 'after two key updates' },
  ] satisfies MessageInput[] as MessageInput[],
};

export const identityOf = ({ ed25519, x25519, mlkem768 }: ReturnType<typeof seeds>): Identity =>
  identityFromSeeds({ ed25519: bytes(ed25519), x25519: bytes(x25519), mlkem768: bytes(mlkem768) });

export const initiatorIdentity = identityOf(inputs.initiator);
export const responderIdentity = identityOf(inputs.responder);

export function initiatorOf(cryptography: Cryptography): Initiator {
  const { x25519, mlkem768, nonce } = inputs.initiatorEphemeral;
  return new Initiator({
    cryptography,
    identity: initiatorIdentity,
    peer: responderIdentity.public.ed25519,
    purpose: inputs.purpose,
    random: { x25519: bytes(x25519), mlkem768: bytes(mlkem768), nonce: bytes(nonce) },
    limits: inputs.keyLimits,
  });
}

export const responderOf = (cryptography: Cryptography): Responder =>
  new Responder({ cryptography, identity: responderIdentity, limits: inputs.keyLimits });

/** noble takes the randomness m of an encapsulation as an argument; OpenSSL has its own. */
export const responderRandom = () => ({
  x25519: bytes(inputs.responderEphemeral.x25519),
  nonce: bytes(inputs.responderEphemeral.nonce),
  encapsulate: (peer: Parameters<typeof portable.mlKemEncapsulate>[0]) =>
    portable.mlKemEncapsulate(peer, bytes(inputs.responderEphemeral.m)),
});
