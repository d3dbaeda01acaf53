/**
 * Computes the values in test/vectors/channel.json from its inputs, so that the test compares all of them. ML-KEM's
 * encapsulation has randomness of its own: its outcome is an input. Not a test itself.
 */
import { concatBytes, utf8 } from '../../../shared/bytes.ts';
import { Initiator } from '../../../shared/channel/initiator.ts';
import { deriveChannelKeys, recordKey } from '../../../shared/channel/key-schedule.ts';
import type { KeyLimits } from '../../../shared/channel/limits.ts';
import type { RecordSealer } from '../../../shared/channel/records.ts';
import { Responder } from '../../../shared/channel/responder.ts';
import {
  encodeInitiatorHello,
  type Purpose,
  parseInitiatorHello,
  parseResponderHello,
} from '../../../shared/channel/wire.ts';
import { sha256 } from '../../../shared/identity/hkdf.ts';
import { type Identity, identityFromSeeds } from '../../../shared/identity/identity.ts';
import { mlKemPublicKey, x25519PublicKey } from '../../../shared/identity/keys.ts';
import { agree, mlKemDecapsulate } from '../../../shared/identity/native.ts';
import { signStatement } from '../../../shared/identity/statement.ts';

export interface SeedsHex {
  ed25519: string;
  x25519: string;
  mlkem768: string;
}

export interface Inputs {
  initiator: SeedsHex;
  responder: SeedsHex;
  purpose: Purpose;
  initiatorTime: number;
  responderTime: number;
  initiatorEphemeral: { x25519: string; mlkem768: string; nonce: string };
  responderEphemeral: { x25519: string; nonce: string };
  encapsulation: { ciphertext: string; sharedSecret: string };
  /** Small ones, so that a key update is in the vector. */
  keyLimits: KeyLimits;
  messages: { from: 'initiator' | 'responder'; text: string }[];
}

const hex = (bytes: Uint8Array): string => bytes.toHex();
const bytes = (text: string): Uint8Array => Uint8Array.fromHex(text);

export const identityOf = ({ ed25519, x25519, mlkem768 }: SeedsHex): Identity =>
  identityFromSeeds({ ed25519: bytes(ed25519), x25519: bytes(x25519), mlkem768: bytes(mlkem768) });

export function initiatorOf(inputs: Inputs): Initiator {
  const { x25519, mlkem768, nonce } = inputs.initiatorEphemeral;
  return new Initiator({
    identity: identityOf(inputs.initiator),
    peer: identityOf(inputs.responder).public.ed25519,
    purpose: inputs.purpose,
    random: { x25519: bytes(x25519), mlkem768: bytes(mlkem768), nonce: bytes(nonce) },
    limits: inputs.keyLimits,
    sign: signStatement,
  });
}

export const responderOf = (inputs: Inputs): Responder =>
  new Responder({ identity: identityOf(inputs.responder), limits: inputs.keyLimits });

export const responderRandomOf = ({ responderEphemeral, encapsulation }: Inputs) => ({
  x25519: bytes(responderEphemeral.x25519),
  nonce: bytes(responderEphemeral.nonce),
  encapsulate: () => ({
    ciphertext: bytes(encapsulation.ciphertext),
    sharedSecret: bytes(encapsulation.sharedSecret),
  }),
});

export function compute(inputs: Inputs) {
  const initiator = initiatorOf(inputs);
  const responder = responderOf(inputs);
  const hello = initiator.writeHello(inputs.initiatorTime);
  responder.readHello(hello, { now: inputs.responderTime, isReplay: () => false });
  const answer = responder.answer(responderRandomOf(inputs), inputs.responderTime);
  initiator.readHello(answer.hello, inputs.responderTime);
  initiator.readConfirmation(answer.confirmation);
  const confirmation = initiator.writeConfirmation();
  responder.readConfirmation(confirmation);
  const sealers = { initiator: initiator.split().sealer, responder: responder.split().sealer };
  return {
    initiatorHello: hex(hello),
    responderHello: hex(answer.hello),
    ...schedule(inputs, hello, answer.hello),
    initiatorConfirmationRecord: hex(confirmation),
    responderConfirmationRecord: hex(answer.confirmation),
    records: [
      ...inputs.messages.map(({ from, text }) => ({ from, text, records: allOf(sealers[from].message(utf8(text))) })),
      { from: 'initiator', close: true, records: allOf(sealers.initiator.close()) },
      { from: 'responder', close: true, records: allOf(sealers.responder.close()) },
    ],
    resigned: resigned(inputs, hello),
  };
}

const allOf = (records: ReturnType<RecordSealer['message']>): string[] => [...records].map(hex);

/** The steps of the key schedule one by one, written down a second time. */
function schedule(inputs: Inputs, hello: Uint8Array, answer: Uint8Array) {
  const { x25519, mlkem768 } = inputs.initiatorEphemeral;
  const response = parseResponderHello(answer);
  const kemSecret = mlKemDecapsulate(bytes(mlkem768), response.ciphertext);
  const dhSecret = agree(bytes(x25519), response.x25519);
  const length = (value: Uint8Array): Uint8Array => Uint8Array.of(0, 0, value.length >> 8, value.length & 255);
  const transcript = [utf8('vmc/1 channel transcript\0'), length(hello), hello, length(answer), answer];
  const transcriptHash = hex(sha256(...transcript));
  const secrets = { mlKemSecret: hex(kemSecret), x25519Secret: hex(dhSecret) };
  const keys = deriveChannelKeys(hello, answer, kemSecret, dhSecret);
  const direction = ({ secret, confirmation }: { secret: Uint8Array; confirmation: Uint8Array }) => {
    const { key, iv } = recordKey(secret);
    return { secret: hex(secret), confirmation: hex(confirmation), key: hex(key), iv: hex(iv) };
  };
  return {
    ...secrets,
    transcriptHash,
    initiatorKeys: direction(keys.initiator),
    responderKeys: direction(keys.responder),
  };
}

/** Hellos with something wrong and a signature that holds. */
function resigned(inputs: Inputs, hello: Uint8Array) {
  const { signed: _, signature: __, ...fields } = parseInitiatorHello(hello);
  const sign = (identity: Identity, changed: typeof fields): string => {
    const unsigned = encodeInitiatorHello(changed);
    return hex(concatBytes(unsigned, signStatement(identity, 'channel initiator hello', [unsigned])));
  };
  const [initiator, responder] = [identityOf(inputs.initiator), identityOf(inputs.responder)];
  return {
    zeroX25519: sign(initiator, { ...fields, x25519: x25519PublicKey(new Uint8Array(32)) }),
    mlKemOutOfRange: sign(initiator, { ...fields, mlkem768: mlKemPublicKey(new Uint8Array(1184).fill(255)) }),
    fromTheResponder: sign(responder, { ...fields, initiator: responder.public.ed25519 }),
    toTheInitiator: sign(initiator, { ...fields, responder: initiator.public.ed25519 }),
  };
}
