/** How fast and how long yet, by a clock that is told. */
import t from 'tap';
import { progressLine, progressText } from '../../../connect/progress.ts';
import { humanSeconds, makeRateMeter } from '../../../connect/rate.ts';
import { fakeIo } from './fake-io.ts';

const MIB = 1024 ** 2;
const at = (done: number, total?: number, step = 'copying') =>
  ({ step, done, ...(total === undefined ? {} : { total }), unit: 'bytes' }) as const;

t.test('steady work: its rate, and the time left', async (t) => {
  const meter = makeRateMeter();
  t.equal(meter.add(0, at(0, 100)), undefined);
  t.equal(meter.add(999, at(10, 100)), undefined, 'too early to tell');
  t.strictSame(meter.add(2000, at(20, 100)), { perSecond: 10, secondsLeft: 8 });
});

t.test('only the last ten seconds count', async (t) => {
  const meter = makeRateMeter();
  for (let s = 0; s <= 20; s++) meter.add(s * 1000, at(s * 1000, 100_000));
  let pace = meter.add(21_000, at(20_010, 100_000));
  for (let s = 22; s <= 40; s++) pace = meter.add(s * 1000, at(20_000 + (s - 20) * 10, 100_000));
  t.ok(pace !== undefined && pace.perSecond > 9 && pace.perSecond < 11, `${pace?.perSecond}`);
});

t.test('a thousand reports a second take no more memory than four, and count as well', async (t) => {
  const meter = makeRateMeter();
  let pace: ReturnType<typeof meter.add>;
  for (let ms = 0; ms <= 5000; ms++) pace = meter.add(ms, at(ms, 10_000));
  t.strictSame(pace, { perSecond: 1000, secondsLeft: 5 });
});

t.test('another step, and work that begins anew, are measured anew', async (t) => {
  const meter = makeRateMeter();
  meter.add(0, at(0));
  t.strictSame(meter.add(2000, at(20)), { perSecond: 10, secondsLeft: undefined }, 'no total, no end');
  t.equal(meter.add(3000, at(30, 100, 'comparing')), undefined);
  t.equal(meter.add(4500, at(0, 100, 'comparing')), undefined);
  t.equal(meter.add(5000, { step: 'comparing' }), undefined);
});

t.test('what stands still has no end', async (t) => {
  const meter = makeRateMeter();
  meter.add(0, at(5, 10));
  t.strictSame(meter.add(3000, at(5, 10)), { perSecond: 0, secondsLeft: undefined });
});

t.test('seconds as people say them', async (t) => {
  t.strictSame([0, 0.2, 59, 60, 192, 3600, 7500].map(humanSeconds), [
    ...['0 s', '1 s', '59 s', '1 min 0 s', '3 min 12 s', '1 h 0 min', '2 h 5 min'],
  ]);
});

t.test('H8 the line on a terminal: bytes, rate, time left', async (t) => {
  t.equal(
    progressText(at(MIB, 4 * MIB), { perSecond: MIB / 2, secondsLeft: 6 }),
    'copying: 1.0 MiB of 4.0 MiB, 512.0 KiB/s, 6 s left',
  );
  const io = fakeIo();
  Object.assign(io.stderr, { isTTY: true });
  let now = 0;
  const line = progressLine(io, () => now);
  line.show(at(0, 4 * MIB));
  now = 2000;
  line.show(at(MIB, 4 * MIB));
  line.end();
  t.match(io.errors(), 'copying: 1.0 MiB of 4.0 MiB, 512.0 KiB/s, 6 s left\r\x1b[K');
});
