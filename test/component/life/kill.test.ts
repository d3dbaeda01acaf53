/**
 * C1: the relay is killed and started again, over and over, while a device asks its VM without pause. Each request is answered
 * once, what it does is done once, and neither side leaks. All of it real: backend, relay, vmc, connect, each a process.
 */
import t from 'tap';
import { until } from '../backend/fixture.ts';
import { inNamespace } from '../vmc/in-namespace.ts';
import { askedSystem } from './asking.ts';
import { usage } from './real-system.ts';

/** The relay is killed so often: as VMC_KILLS says (`npm test`: 50), or as often as fits into the time of a quick run. */
const ASKED = process.env.VMC_KILLS;
const KILLS = Number(ASKED ?? 50);
const TIME_MS = ASKED === undefined ? 35_000 : Number.POSITIVE_INFINITY;
const LEAST_KILLS = 8;
const WARM_UP = 5;

t.setTimeout(900_000);
await inNamespace(import.meta.url, () => {
  t.test('C1 each request is answered once and done once, though the relay dies again and again', async (t) => {
    const { system, relay, vmc, asker } = await askedSystem(t);
    const measure = () => ({ vmc: usage(vmc.pid), asker: usage(asker.pid) });
    let before = measure();
    let kills = 0;
    const started = performance.now();
    while (kills < KILLS && (kills < LEAST_KILLS || performance.now() - started < TIME_MS)) {
      await asker.moreAnswers(1 + (kills % 7) * 5); // now while channels open, now in full flight
      if (kills === WARM_UP) before = measure();
      await relay.stop('SIGKILL');
      kills++;
      await relay.start();
    }
    await asker.moreAnswers(20);
    const after = measure();
    for (const who of ['vmc', 'asker'] as const) {
      t.ok(after[who].residentMiB < before[who].residentMiB + 80, `${who}: no memory is lost`);
      const most = before[who].descriptors + 6; // some may be on their way out
      await until(() => measure()[who].descriptors <= most, 40_000).catch(() => t.fail(`${who} leaks descriptors`));
    }
    const outages = await asker.endsWithEachDoneOnce(t, system);
    t.ok(outages >= kills / 2, `the device lost its VM ${outages} times`);

    t.comment(
      JSON.stringify({
        kills,
        seconds: (performance.now() - started) / 1000,
        answered: asker.answered,
        outages,
        before,
        after,
      }),
    );
  });
});
