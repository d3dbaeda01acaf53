/** C1: when the relay client tries again. The sockets themselves are tested in test/component. */
import t from 'tap';
import { makeBackoff } from '../../../shared/backoff.ts';
import { RelayClient } from '../../../vmc/relay-client/relay-client.ts';

/** fail: no socket · moved: the same, and the network changed during the attempt · pair: one that is paired at once · flap, hold: one that is cut, soon or after a minute · stay */
type Outcome = 'fail' | 'moved' | 'pair' | 'flap' | 'hold' | 'stay';

/** Nobody waits out a back-off here: a change of the network cuts each short. */
async function follow(outcomes: Outcome[]): Promise<string[]> {
  const log: string[] = [];
  let now = 0;
  let quiet = false;
  const done = Promise.withResolvers<void>();
  const client: RelayClient = new RelayClient({
    backoff: makeBackoff(() => 1, 3_600_000, 20_000_000),
    clock: () => now,
    park: async () => {
      const outcome = outcomes.shift() ?? 'stay';
      log.push(outcome);
      if (outcome === 'moved') {
        quiet = true; // nothing else cuts the wait short
        client.retryNow();
      }
      if (outcome === 'fail' || outcome === 'moved') throw new Error('down');
      if (outcome === 'pair') return { paired: Promise.resolve({} as never), close: () => {} };
      const paired = Promise.withResolvers<never>();
      if (outcome === 'stay') done.resolve();
      else
        setImmediate(() => {
          now += outcome === 'hold' ? 60_000 : 1_000;
          paired.reject(new Error('cut'));
        });
      return { paired: paired.promise, close: () => paired.reject(new Error('closed')) };
    },
    serve: () => log.push('serve'),
    onParked: () => log.push('parked'),
    onTrouble: (_error, retryMs) => {
      log.push(`${retryMs / 3_600_000} h`);
      if (!quiet) setImmediate(() => client.retryNow());
      quiet = false;
    },
  });
  client.start();
  await done.promise;
  await new Promise(setImmediate);
  await client.stop();
  return log;
}

t.test('C1 the next socket is parked when one is paired; a change of the network cuts the waiting short', async (t) => {
  t.same(await follow(['fail', 'pair', 'pair']), [
    ...['fail', '1 h'],
    ...['pair', 'parked', 'serve'],
    ...['pair', 'parked', 'serve'],
    ...['stay', 'parked'],
  ]);
});

t.test(
  'C1 the wait grows, and starts again after a success: a user came, or the socket was held for a while',
  async (t) => {
    const waits = async (outcomes: Outcome[]) => (await follow(outcomes)).filter((line) => line.endsWith(' h'));
    t.same(await waits(['fail', 'fail', 'fail', 'pair', 'fail']), ['1 h', '2 h', '4 h', '1 h']);
    t.same(await waits(['fail', 'fail', 'hold', 'fail']), ['1 h', '2 h', '1 h', '2 h']);
    t.same(
      await waits(['fail', 'flap', 'flap', 'fail']),
      ['1 h', '2 h', '4 h', '5.555555555555555 h'],
      'a relay that flaps',
    );
  },
);

t.test('C1 a change of the network during an attempt that fails is not lost', async (t) => {
  t.same(await follow(['moved']), ['moved', '1 h', 'stay', 'parked']);
});
