import t from 'tap';
import * as z from 'zod';
import { utf8 } from '../../../shared/bytes.ts';
import { RecordOpener } from '../../../shared/channel/records.ts';
import { native } from '../../../shared/identity/native.ts';
import channel from '../../vectors/channel.json' with { type: 'json' };
import { reasonOf } from './peers.ts';
import { compute, type Inputs, initiatorOf, responderOf, responderRandomOf } from './vector.ts';

const inputs = channel.inputs as Inputs;
const { outputs } = channel;

t.test('the handshake and the records come out as written down', async (t) => {
  const computed = await compute(inputs);
  t.same(computed, outputs);
  t.ok(
    outputs.records.some(({ records }) => records.length === 2),
    'a key update is among them',
  );
});

t.test('a reader of the records gets the messages', async (t) => {
  const openers = {
    initiator: await RecordOpener.start(native, Uint8Array.fromHex(outputs.initiatorKeys.secret), inputs.keyLimits),
    responder: await RecordOpener.start(native, Uint8Array.fromHex(outputs.responderKeys.secret), inputs.keyLimits),
  };
  for (const from of ['initiator', 'responder'] as const) {
    const { confirmation } = outputs[`${from}Keys`];
    await openers[from].confirmation(
      Uint8Array.fromHex(outputs[`${from}ConfirmationRecord`]),
      Uint8Array.fromHex(confirmation),
    );
  }
  for (const { from, text, records } of outputs.records) {
    const opener = from === 'initiator' ? openers.initiator : openers.responder;
    let last: unknown;
    for (const record of records) last = await opener.open(Uint8Array.fromHex(record));
    t.same(last, text === undefined ? { kind: 'close' } : { kind: 'message', message: utf8(text) });
  }
});

const caseSchema = z.strictObject({
  name: z.string(),
  to: z.enum(['initiator', 'responder']),
  message: z.string().optional(),
  of: z.string().optional(),
  at: z.int().optional(),
  xor: z.int().optional(),
  drop: z.int().default(0),
  now: z.int().default(inputs.responderTime),
  replay: z.boolean().default(false),
  expect: z.string(),
});
const named: Record<string, string> = {
  initiatorHello: outputs.initiatorHello,
  responderHello: outputs.responderHello,
  ...outputs.resigned,
};

for (const value of channel.negative) {
  const { name, to, message, of, at, xor, drop, now, replay, expect } = caseSchema.parse(value);
  t.test(`C2: ${to}, ${name}: ${expect}`, async (t) => {
    const whole = Uint8Array.fromHex(message ?? named[of ?? ''] ?? 'no such value');
    if (at !== undefined && xor !== undefined) whole[at] = (whole[at] ?? 0) ^ xor;
    const bytes = whole.subarray(0, whole.length - drop);
    const initiator = initiatorOf(inputs);
    await initiator.writeHello(inputs.initiatorTime);
    const work = {
      initiator: () => initiator.readHello(bytes, now),
      responder: async () => {
        const responder = responderOf(inputs);
        await responder.readHello(bytes, { now, isReplay: () => replay });
        await responder.answer({ ...responderRandomOf(inputs), encapsulate: native.mlKemEncapsulate }, now);
      },
    };
    t.equal(await reasonOf(work[to]), expect);
  });
}
