/**
 * C1: device and VM sleep; meanwhile the relay goes and comes back, so what they hold on waking is dead. Nobody has to help them.
 * A process that is stopped stands for a machine that sleeps: its clocks go on, its timers do not.
 */
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { inNamespace } from '../vmc/in-namespace.ts';
import { askedSystem } from './asking.ts';

/** Longer than what counts as sleep (shared/net/disturbance.ts). */
const SLEEP_MS = 8_000;

t.setTimeout(180_000);
await inNamespace(import.meta.url, () => {
  t.test('C1 requests go on after a sleep through which the relay was restarted, each done once', async (t) => {
    const { system, relay, vmc, asker } = await askedSystem(t);
    await asker.moreAnswers(20);
    for (const sleepers of [[vmc.child, asker.child], [asker.child], [vmc.child]]) {
      for (const sleeper of sleepers) sleeper.kill('SIGSTOP');
      const slept = delay(SLEEP_MS);
      await relay.stop('SIGKILL');
      await relay.start();
      await slept;
      for (const sleeper of sleepers) sleeper.kill('SIGCONT');
      await asker.moreAnswers(20);
    }
    const outages = await asker.endsWithEachDoneOnce(t, system);
    t.ok(outages >= 3, `the device lost its VM ${outages} times and found it again`);
  });
});
