import t from 'tap';
import { equalBytes } from '../../../shared/bytes.ts';
import { KEY_LIMITS } from '../../../shared/channel/limits.ts';
import { RecordOpener, RecordRefused, RecordSealer } from '../../../shared/channel/records.ts';
import { ReplayCache } from '../../../shared/channel/replay-cache.ts';
import { acceptChannel } from '../../../shared/channel/run-handshake.ts';
import { memoryPair } from '../../../shared/channel/transport.ts';
import type { Cryptography } from '../../../shared/identity/cryptography.ts';
import { native } from '../../../shared/identity/native.ts';
import channel from '../../vectors/channel.json' with { type: 'json' };
import {
  bytes,
  initiatorOf,
  inputs,
  responderIdentity,
  responderOf,
  responderRandom,
} from '../../vectors/channel-inputs.ts';
import type { negativeCases } from '../../vectors/channel-negative.ts';
import { messageBytes } from '../../vectors/channel-outputs.ts';
import { channelVectors } from '../../vectors/make-channel.ts';
import { IMPLEMENTATIONS, reasonOf } from './peers.ts';

const { outputs } = channel;
const listed = new Set(outputs.records.flatMap(({ records }) => records.map(({ record }) => record)));
// The file's own cases are what is run; their types come from what made them.
const negative = channel.negative as unknown as ReturnType<typeof negativeCases>;

/** A hello of the vector by its name. */
function named(name: string): Uint8Array {
  const all: Record<string, string> = { ...outputs, ...negative.signedHellos } as never;
  const hex = all[name];
  if (typeof hex !== 'string') throw new Error(`no hello is called ${name}`);
  return bytes(hex);
}

type HelloCase = (typeof negative.hellos)[number];
function messageOf({ of = '', at = 0, xor = 0, set = '', drop = 0, append = '' }: HelloCase): Uint8Array {
  const message = named(of);
  message[at] = (message[at] ?? 0) ^ xor;
  message.set(bytes(set), at);
  return Uint8Array.from([...message.subarray(0, message.length - drop), ...bytes(append)]);
}

async function givenToResponder(test: HelloCase, cryptography: Cryptography): Promise<string> {
  const { now = inputs.responderTime, responder } = test;
  const replayCache = new ReplayCache(responder === 'memory-full' ? { maxPerPeer: 0 } : {});
  const hello = named('initiatorHello');
  if (responder === 'has-seen-it') replayCache.add(hello.subarray(10, 42), hello.subarray(1298, 1330), now);
  const [ours, theirs] = memoryPair();
  if (test.of === undefined) ours.close();
  else await ours.send(messageOf(test));
  return reasonOf(() =>
    acceptChannel(theirs, {
      cryptography,
      identity: responderIdentity,
      authorize: () => responder !== 'no-right',
      replayCache,
      clock: () => now,
    }),
  );
}

async function givenToInitiator(test: HelloCase, cryptography: Cryptography): Promise<string> {
  const initiator = initiatorOf(cryptography);
  await initiator.writeHello(inputs.initiatorTime);
  return reasonOf(() => initiator.readHello(messageOf(test), test.now ?? inputs.responderTime));
}

async function confirmedBy(test: (typeof negative.confirmations)[number], cryptography: Cryptography): Promise<string> {
  const record = bytes(test.record);
  if (test.to === 'responder') {
    const responder = responderOf(cryptography);
    await responder.readHello(named('initiatorHello'), { now: inputs.responderTime, isReplay: () => false });
    await responder.answer(responderRandom(), inputs.responderTime);
    return reasonOf(() => responder.readConfirmation(record));
  }
  const initiator = initiatorOf(cryptography);
  await initiator.writeHello(inputs.initiatorTime);
  await initiator.readHello(named(test.hello ?? 'responderHello'), inputs.responderTime);
  return reasonOf(() => initiator.readConfirmation(record));
}

/** A receiver of one side's records, past the confirmation. */
async function openerOf(from: 'initiator' | 'responder', cryptography: Cryptography, limits = inputs.keyLimits) {
  const { secret, confirmation } = outputs[`${from}Keys`];
  const opener = await RecordOpener.start(cryptography, bytes(secret), limits);
  await opener.confirmation(bytes(outputs[`${from}ConfirmationRecord`]), bytes(confirmation));
  return opener;
}

type RecordCase = (typeof negative.records)[number];
function recordOf(input: RecordCase['records'][number], number: number): Uint8Array {
  if ('record' in input) return bytes(input.record);
  if ('zeros' in input) return new Uint8Array(input.zeros);
  const { key, iv } = outputs.initiatorKeys;
  const nonce = bytes(iv);
  nonce[11] = (nonce[11] ?? 0) ^ number;
  const body = new Uint8Array(input.body.length).fill(input.body.fill);
  return native.aesGcm(bytes(key)).seal(nonce, Uint8Array.of(input.type, input.flags), body);
}

/** @returns the refusal of the last record. */
async function received({ records, keyLimits }: RecordCase, cryptography: Cryptography): Promise<string> {
  const opener = await openerOf('initiator', cryptography, keyLimits === true ? inputs.keyLimits : KEY_LIMITS);
  for (const [i, input] of records.entries())
    try {
      await opener.open(recordOf(input, i + 1));
    } catch (error) {
      if (!(error instanceof RecordRefused)) throw error;
      return i === records.length - 1 ? error.what : `already record ${i + 1}: ${error.what}`;
    }
  return 'accepted';
}

for (const [name, cryptography] of IMPLEMENTATIONS) {
  t.test(`each step comes out as written down, ${name}`, async (t) => {
    const computed = await channelVectors(cryptography);
    t.same(JSON.parse(JSON.stringify(computed)), channel);
  });

  t.test(`a reader of the records gets the messages, ${name}`, async (t) => {
    for (const from of ['initiator', 'responder'] as const) {
      const opener = await openerOf(from, cryptography);
      const sealer = await RecordSealer.start(native, bytes(outputs[`${from}Keys`].secret), inputs.keyLimits);
      await sealer.confirmation(bytes(outputs[`${from}Keys`].confirmation));
      for (const message of inputs.messages.filter((message) => message.from === from)) {
        let last: unknown;
        for await (const record of sealer.message(messageBytes(message))) {
          t.ok(
            record.length > 1024 || listed.has(record.toHex()),
            'as in the file, where only the long ones are missing',
          );
          last = await opener.open(record);
        }
        t.same(last, { kind: 'message', message: messageBytes(message) });
      }
      for await (const record of sealer.close()) {
        t.ok(listed.has(record.toHex()));
        if (record[0] === 19) t.same(await opener.open(record), { kind: 'close' });
        else await opener.open(record);
      }
    }
  });

  t.test(`C2: every hello that must be refused is, by its name, ${name}`, async (t) => {
    for (const test of negative.hellos) {
      const run = test.to === 'responder' ? givenToResponder : givenToInitiator;
      t.equal(await run(test, cryptography), test.expect, `${test.to}, ${test.name}`);
    }
  });

  t.test(`C2: every confirmation that must be refused is, ${name}`, async (t) => {
    for (const test of negative.confirmations)
      t.equal(await confirmedBy(test, cryptography), test.expect, `${test.to}, ${test.name}`);
  });

  t.test(`C2: every record that must be refused is, by its name, ${name}`, async (t) => {
    for (const test of negative.records) t.equal(await received(test, cryptography), test.expect, test.name);
  });
}

t.test(
  'the vector has fragments, key updates and closes, and every class of refusal that bytes can lead to',
  async (t) => {
    const types = outputs.records.flatMap(({ records }) => records.map(({ type }) => type));
    t.same([...new Set(types)].sort(), [17, 18, 19]);
    t.ok(
      outputs.records.some(({ records }) => records.filter(({ type }) => type === 17).length === 2),
      'fragments',
    );
    const all = [...negative.hellos, ...negative.confirmations, ...negative.records];
    t.ok(all.length >= 30, `${all.length} cases`);
    const classes = new Set(all.map(({ expect }) => expect));
    // All of RefusalReason but what only clocks and callers cause: timeout, cancelled, failed; then all of RecordRefused.
    const handshake =
      'malformed unsupported wrong-recipient wrong-peer reflected stale replayed bad-signature unknown-person weak-key not-confirmed closed too-many';
    const records = 'length type tampered fragment message-length key-worn-out key-update over';
    for (const name of `${handshake} ${records}`.split(' ')) t.ok(classes.has(name), name);
    t.equal(classes.size, 21, 'and no name that does not exist');
    t.ok(equalBytes(bytes(outputs.initiatorHelloSha256), native.sha256(named('initiatorHello'))));
  },
);
