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
import type { Cryptography } from '../../../shared/identity/cryptography.ts';
import { type Identity, identityFromSeeds } from '../../../shared/identity/identity.ts';
import { mlKemPublicKey, x25519PublicKey } from '../../../shared/identity/keys.ts';
import { native } from '../../../shared/identity/native.ts';
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

export function initiatorOf(inputs: Inputs, cryptography: Cryptography = native): Initiator {
  const { x25519, mlkem768, nonce } = inputs.initiatorEphemeral;
  return new Initiator({
    cryptography,
    identity: identityOf(inputs.initiator),
    peer: identityOf(inputs.responder).public.ed25519,
    purpose: inputs.purpose,
    random: { x25519: bytes(x25519), mlkem768: bytes(mlkem768), nonce: bytes(nonce) },
    limits: inputs.keyLimits,
  });
}

export const responderOf = (inputs: Inputs, cryptography: Cryptography = native): Responder =>
  new Responder({ cryptography, identity: identityOf(inputs.responder), limits: inputs.keyLimits });

export const responderRandomOf = ({ responderEphemeral, encapsulation }: Inputs) => ({
  x25519: bytes(responderEphemeral.x25519),
  nonce: bytes(responderEphemeral.nonce),
  encapsulate: () => ({
    ciphertext: bytes(encapsulation.ciphertext),
    sharedSecret: bytes(encapsulation.sharedSecret),
  }),
});

export async function compute(inputs: Inputs, cryptography: Cryptography = native) {
  const initiator = initiatorOf(inputs, cryptography);
  const responder = responderOf(inputs, cryptography);
  const hello = await initiator.writeHello(inputs.initiatorTime);
  await responder.readHello(hello, { now: inputs.responderTime, isReplay: () => false });
  const answer = await responder.answer(responderRandomOf(inputs), inputs.responderTime);
  await initiator.readHello(answer.hello, inputs.responderTime);
  await initiator.readConfirmation(answer.confirmation);
  const confirmation = await initiator.writeConfirmation();
  await responder.readConfirmation(confirmation);
  const sealers = { initiator: (await initiator.split()).sealer, responder: (await responder.split()).sealer };
  const records = [];
  for (const { from, text } of inputs.messages)
    records.push({ from, text, records: await allOf(sealers[from].message(utf8(text))) });
  for (const from of ['initiator', 'responder'] as const)
    records.push({ from, close: true, records: await allOf(sealers[from].close()) });
  return {
    initiatorHello: hex(hello),
    responderHello: hex(answer.hello),
    ...(await schedule(inputs, hello, answer.hello, cryptography)),
    initiatorConfirmationRecord: hex(confirmation),
    responderConfirmationRecord: hex(answer.confirmation),
    records,
    resigned: resigned(inputs, hello),
  };
}

const allOf = async (records: ReturnType<RecordSealer['message']>): Promise<string[]> =>
  (await Array.fromAsync(records)).map(hex);

/** The steps of the key schedule one by one, written down a second time. */
async function schedule(inputs: Inputs, hello: Uint8Array, answer: Uint8Array, cryptography: Cryptography) {
  const { x25519, mlkem768 } = inputs.initiatorEphemeral;
  const response = parseResponderHello(answer);
  const kemSecret = cryptography.mlKemPair(bytes(mlkem768)).decapsulate(response.ciphertext);
  const dhSecret = cryptography.x25519Pair(bytes(x25519)).agree(response.x25519);
  const length = (value: Uint8Array): Uint8Array => Uint8Array.of(0, 0, value.length >> 8, value.length & 255);
  const transcript = [utf8('vmc/1 channel transcript\0'), length(hello), hello, length(answer), answer];
  const transcriptHash = hex(await cryptography.sha256(...transcript));
  const secrets = { mlKemSecret: hex(kemSecret), x25519Secret: hex(dhSecret) };
  const keys = await deriveChannelKeys(cryptography, hello, answer, kemSecret, dhSecret);
  const direction = async ({ secret, confirmation }: { secret: Uint8Array; confirmation: Uint8Array }) => {
    const { key, iv } = await recordKey(cryptography, secret);
    return { secret: hex(secret), confirmation: hex(confirmation), key: hex(key), iv: hex(iv) };
  };
  return {
    ...secrets,
    transcriptHash,
    initiatorKeys: await direction(keys.initiator),
    responderKeys: await direction(keys.responder),
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
