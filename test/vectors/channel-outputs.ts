/** Every step of a handshake and its records, computed from the fixed inputs by either implementation. */
import { utf8 } from '../../shared/bytes.ts';
import { channelKeys, extractKey, nextSecret, recordKey, transcriptHash } from '../../shared/channel/key-schedule.ts';
import { parseResponderHello } from '../../shared/channel/wire.ts';
import type { Cryptography } from '../../shared/identity/cryptography.ts';
import { bytes, initiatorOf, inputs, type MessageInput, responderOf, responderRandom } from './channel-inputs.ts';

const hex = (bytes: Uint8Array): string => bytes.toHex();

export const messageBytes = (message: MessageInput): Uint8Array =>
  'text' in message ? utf8(message.text) : new Uint8Array(message.length).fill(message.fill);

export async function computeOutputs(cryptography: Cryptography) {
  const [initiator, responder] = [initiatorOf(cryptography), responderOf(cryptography)];
  const hello = await initiator.writeHello(inputs.initiatorTime);
  await responder.readHello(hello, { now: inputs.responderTime, isReplay: () => false });
  const answer = await responder.answer(responderRandom(), inputs.responderTime);
  await initiator.readHello(answer.hello, inputs.responderTime);
  await initiator.readConfirmation(answer.confirmation);
  const confirmation = await initiator.writeConfirmation();
  await responder.readConfirmation(confirmation);
  const sealers = { initiator: (await initiator.split()).sealer, responder: (await responder.split()).sealer };
  /** Long ones by length and hash: they would fill pages. */
  const listed = async (records: AsyncIterable<Uint8Array>) => {
    const list: { type: number; record?: string; length?: number; sha256?: string }[] = [];
    for await (const record of records) {
      const type = record[0] ?? 0;
      if (record.length <= 1024) list.push({ type, record: hex(record) });
      else list.push({ type, length: record.length, sha256: hex(await cryptography.sha256(record)) });
    }
    return list;
  };
  const records = [];
  for (const message of inputs.messages)
    records.push({ ...message, records: await listed(sealers[message.from].message(messageBytes(message))) });
  for (const from of ['initiator', 'responder'] as const)
    records.push({ from, close: true, records: await listed(sealers[from].close()) });
  return {
    initiatorHello: hex(hello),
    initiatorHelloSha256: hex(await cryptography.sha256(hello)),
    responderHello: hex(answer.hello),
    ...(await schedule(cryptography, hello, answer.hello)),
    initiatorConfirmationRecord: hex(confirmation),
    responderConfirmationRecord: hex(answer.confirmation),
    records,
  };
}

async function schedule(cryptography: Cryptography, hello: Uint8Array, answer: Uint8Array) {
  const { x25519, mlkem768 } = inputs.initiatorEphemeral;
  const response = parseResponderHello(answer);
  const kemSecret = cryptography.mlKemPair(bytes(mlkem768)).decapsulate(response.ciphertext);
  const dhSecret = cryptography.x25519Pair(bytes(x25519)).agree(response.x25519);
  const th = await transcriptHash(cryptography, hello, answer);
  const secrets = { mlKemSecret: hex(kemSecret), x25519Secret: hex(dhSecret), transcriptHash: hex(th) };
  const prk = await extractKey(cryptography, th, kemSecret, dhSecret);
  const prkHex = hex(prk);
  const keys = await channelKeys(cryptography, prk, th);
  const generation = async (secret: Uint8Array) => {
    const { key, iv } = await recordKey(cryptography, secret);
    return { secret: hex(secret), key: hex(key), iv: hex(iv) };
  };
  const direction = async (sender: 'initiator' | 'responder') => {
    const { secret, confirmation } = keys[sender];
    const first = await generation(secret);
    const second = await generation(await nextSecret(cryptography, secret));
    return { confirmation: hex(confirmation), ...first, afterKeyUpdate: second };
  };
  return {
    ...secrets,
    prk: prkHex,
    initiatorKeys: await direction('initiator'),
    responderKeys: await direction('responder'),
  };
}
