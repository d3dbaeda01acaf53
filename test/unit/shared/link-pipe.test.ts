import fc from 'fast-check';
import t from 'tap';
import { LINK_PART_BYTES, linkPipe, MAX_LINK_MESSAGE } from '../../../shared/agent-api/link-pipe.ts';
import { memoryPair } from '../../../shared/channel/transport.ts';

const text = (length: number) => new Uint8Array(length).fill(0x61);
const pair = () => {
  const [a, b] = memoryPair({ highWaterBytes: 64 * MAX_LINK_MESSAGE });
  return { a, b, from: linkPipe(a), to: linkPipe(b) };
};

t.test('a short message is one WebSocket message, as it is', async (t) => {
  const { from, b } = pair();
  await from.send(text(LINK_PART_BYTES));
  t.strictSame(await b.receive(), text(LINK_PART_BYTES));
});

t.test('whatever their lengths, messages sent at once arrive whole and in order', async (t) => {
  const length = fc
    .integer({ min: 1, max: 4 })
    .chain((parts) => fc.integer({ min: -1, max: 1 }).map((off) => parts * LINK_PART_BYTES + off));
  await fc.assert(
    fc.asyncProperty(fc.array(length, { minLength: 1, maxLength: 5 }), async (lengths) => {
      const { from, to } = pair();
      const messages = lengths.map((it, i) => text(it).fill(0x61 + i));
      await Promise.all(messages.map((it) => from.send(it)));
      for (const message of messages) t.ok(Buffer.from(message).equals((await to.receive()) ?? text(0)));
    }),
    { numRuns: 20 },
  );
});

t.test('the longest passes; a longer one is refused before a byte of it is sent', async (t) => {
  const { from, to } = pair();
  const sent = from.send(text(MAX_LINK_MESSAGE));
  t.equal((await to.receive())?.length, MAX_LINK_MESSAGE);
  await sent;
  await t.rejects(from.send(text(MAX_LINK_MESSAGE + 1)), { code: 'limit' });
  await from.send(text(3));
  t.strictSame(await to.receive(), text(3));
});

t.test('who breaks the rules is not listened to: small parts, parts without end', async (t) => {
  const more = (length: number) => new Uint8Array(1 + length).fill(0x61).fill(0, 0, 1);
  for (const length of [0, 1, LINK_PART_BYTES - 1]) {
    const { a, to } = pair();
    await a.send(more(length));
    await t.rejects(to.receive(), { code: 'bad-data' }, `${length} bytes and more to come`);
  }
  const { a, b, to } = pair();
  const parts = Math.ceil(MAX_LINK_MESSAGE / LINK_PART_BYTES) + 3;
  for (let i = 0; i < parts; i++) await a.send(more(LINK_PART_BYTES));
  await t.rejects(to.receive(), { code: 'limit' });
  t.equal((await b.receive())?.length, 1 + LINK_PART_BYTES, 'the rest was not taken');
});

t.test('a cut in the middle of a message is an end', async (t) => {
  const { a, to } = pair();
  await a.send(new Uint8Array(1 + LINK_PART_BYTES));
  a.close();
  t.equal(await to.receive(), undefined);
});
