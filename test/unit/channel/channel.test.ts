import fc from 'fast-check';
import t from 'tap';
import { memoryPair, type Transport } from '../../../shared/channel/transport.ts';
import { channelContract, channelPair } from './channel-contract.ts';
import { flipped, PAIRINGS } from './peers.ts';

for (const [name, pairing] of PAIRINGS)
  t.test(`C2: over memory, ${name}`, (t) => {
    channelContract(t, async () => memoryPair(), pairing);
    t.end();
  });

/** Lets `meddle` see, change (or drop, with undefined) each message on its way to the receiver. */
function meddled(
  transport: Transport,
  meddle: (message: Uint8Array, number: number) => Uint8Array | undefined,
): Transport {
  let number = 0;
  return {
    send: (message) => transport.send(message),
    close: () => transport.close(),
    async receive() {
      for (;;) {
        const message = await transport.receive();
        if (message === undefined) return undefined;
        const out = meddle(message, number++);
        if (out !== undefined) return out;
      }
    },
  };
}

t.test('C2: a record that is changed or dropped on its way ends the channel for both', async (t) => {
  for (const meddle of [
    (message: Uint8Array, number: number) => (number === 3 ? flipped(message, message.length - 1) : message),
    (message: Uint8Array, number: number) => (number === 3 ? undefined : message),
  ]) {
    const [ours, theirs] = memoryPair();
    const [a, b] = await channelPair([ours, meddled(theirs, meddle)]);
    for (const n of [1, 2, 3]) await a.send(Uint8Array.of(n));
    t.same(await b.receive(), Uint8Array.of(1));
    await t.rejects(b.receive(), { code: 'channel-closed' });
    await t.rejects(b.receive(), { code: 'channel-closed' });
    await t.rejects(a.receive(), { code: 'channel-closed' });
  }
});

t.test('C2: a cut at any byte never looks like an end, nor does it hang', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: 4_500 }), async (cutAfterBytes) => {
      const received: number[] = [];
      let end = 'none';
      try {
        const [a, b] = await channelPair(memoryPair({ cutAfterBytes }));
        const sending = (async () => {
          for (let i = 0; i < 30; i++) await a.send(new Uint8Array(30).fill(i));
          await a.close();
        })().catch(() => {});
        for (let m = await b.receive(); m !== undefined; m = await b.receive()) received.push(m[0] ?? -1);
        end = 'closed';
        await sending;
      } catch {
        end = 'cut';
      }
      t.same(
        received,
        Array.from({ length: received.length }, (_, i) => i),
      );
      if (end === 'closed') t.equal(received.length, 30);
    }),
    { numRuns: 60 },
  );
});

t.test('a close that nobody answers ends after two seconds', async (t) => {
  const [ours, theirs] = memoryPair();
  const [a] = await channelPair([ours, theirs]);
  const started = performance.now();
  await a.close();
  t.ok(performance.now() - started < 3_000);
  await t.rejects(a.receive(), { code: 'channel-closed' });
});
