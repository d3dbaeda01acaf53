/** C5: 5,000 streams one after another through vmc's tunnel server: none stalls, and nothing is left of them. */
import t from 'tap';
import { until } from '../backend/fixture.ts';
import { startTunnel } from './start-tunnel.ts';

const STREAMS = 5_000;
/** By then code is compiled and buffers are made. */
const WARM_UP = 1_000;
const AT_ONCE = 4;
/** A leak of 4 KiB a stream shows, also when the end of warming up frees some. */
const MOST_GROWTH_MIB = 3;
const MOST_RESIDENT_GROWTH_MIB = 64;
const PATIENCE_MS = 30_000;

t.setTimeout(300_000);

t.test('C5 5,000 streams in a row: no stall, descriptors and memory flat', async (t) => {
  const tunnel = await startTunnel(t, 10_000);
  let slowest = 0;
  const open = async (count: number) => {
    let left = count;
    const oneAfterAnother = async () => {
      while (left-- > 0) slowest = Math.max(slowest, await tunnel.owner()); // has a deadline, and checks what came
    };
    await Promise.all(Array.from({ length: AT_ONCE }, oneAfterAnother));
  };
  await tunnel.owner();
  const before = tunnel.usage();
  const allClosed = () => until(() => tunnel.usage().descriptors <= before.descriptors, PATIENCE_MS);
  await open(WARM_UP);
  await allClosed();
  const warm = { ...tunnel.usage(), inUseMiB: await tunnel.inUseMiB() };
  const started = performance.now();
  await open(STREAMS - WARM_UP);
  const seconds = (performance.now() - started) / 1000;
  t.comment(`${Math.round((STREAMS - WARM_UP) / seconds)} a second, the slowest took ${Math.round(slowest)} ms`);
  await allClosed();
  t.pass('every descriptor is back');
  const grown = (await tunnel.inUseMiB()) - warm.inUseMiB;
  t.ok(grown < MOST_GROWTH_MIB, `${grown.toFixed(2)} MiB more in use than ${warm.inUseMiB.toFixed(2)}`);
  const resident = tunnel.usage().residentMiB - warm.residentMiB;
  t.ok(
    resident < MOST_RESIDENT_GROWTH_MIB,
    `${Math.round(resident)} MiB more resident than ${Math.round(warm.residentMiB)}`,
  );
});
