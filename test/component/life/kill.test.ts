/**
 * C1: the relay is killed and started again, over and over, while a device asks its VM without pause. Each request is answered
 * once, what it does is done once, and neither side leaks. All of it real: backend, relay, vmc, connect, each a process.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import t from 'tap';
import { encodeIdentitySecret } from '../../../shared/identity/identity.ts';
import { until } from '../backend/fixture.ts';
import { inNamespace } from '../vmc/in-namespace.ts';
import type { Orders, Told } from './asker.ts';
import { makeSystem, usage } from './real-system.ts';

/** The relay is killed so often: as VMC_KILLS says (`npm test`: 50), or as often as fits into the time of a quick run. */
const ASKED = process.env.VMC_KILLS;
const KILLS = Number(ASKED ?? 50);
const TIME_MS = ASKED === undefined ? 35_000 : Number.POSITIVE_INFINITY;
const LEAST_KILLS = 8;
const WARM_UP = 5;
const LANES = 4;

t.setTimeout(900_000);
await inNamespace(import.meta.url, () => {
  t.test('C1 each request is answered once and done once, though the relay dies again and again', async (t) => {
    const system = await makeSystem(t);
    const relay = await system.startRelay();
    await system.startBackend(relay);
    const vmc = system.startVmc();
    await vmc.said(/"event":"parked"/);

    const asker = fork(new URL('asker.ts', import.meta.url).pathname, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    t.teardown(() => asker.kill('SIGKILL'));
    let answered = 0;
    let ended: Extract<Told, { kind: 'ended' }> | undefined;
    asker.on('message', (told: Told) => {
      if (told.kind === 'answered') answered++;
      else ended = told;
    });
    const moreAnswers = async (count: number) => {
      const signal = AbortSignal.timeout(60_000);
      for (const enough = answered + count; answered < enough && ended === undefined; )
        await once(asker, 'message', { signal });
    };
    const orders: Orders = {
      folder: join(t.testdirName, 'person'),
      secret: Buffer.from(encodeIdentitySecret(system.owner)).toString('base64'),
      ...system.address,
      vmId: system.vmId,
      lanes: LANES,
    };
    asker.send(orders);

    const measure = () => ({ vmc: usage(vmc.pid), asker: usage(asker.pid ?? 0) });
    let before = measure();
    let kills = 0;
    const started = performance.now();
    while (kills < KILLS && (kills < LEAST_KILLS || performance.now() - started < TIME_MS)) {
      await moreAnswers(1 + (kills % 7) * 5); // now while channels open, now in full flight
      if (kills === WARM_UP) before = measure();
      await relay.stop('SIGKILL');
      kills++;
      await relay.start();
    }
    await moreAnswers(20);
    const after = measure();
    for (const who of ['vmc', 'asker'] as const) {
      t.ok(after[who].residentMiB < before[who].residentMiB + 80, `${who}: no memory is lost`);
      const most = before[who].descriptors + 6; // some may be on their way out
      await until(() => measure()[who].descriptors <= most, 40_000).catch(() => t.fail(`${who} leaks descriptors`));
    }
    asker.send('enough');
    const signal = AbortSignal.timeout(60_000);
    while (ended === undefined) await once(asker, 'message', { signal });
    const { targets, failures, said } = ended as Extract<Told, { kind: 'ended' }>;

    t.strictSame(failures, [], 'each request was answered, and not with an error');
    t.equal(answered, targets.length * 2, 'once');
    const done = new Map<string, number>();
    for (const { what, target, result } of system.audit())
      if (result === 'ok' && (what === 'tunnel.open' || what === 'tunnel.close'))
        done.set(`${what} ${target}`, (done.get(`${what} ${target}`) ?? 0) + 1);
    t.equal(done.size, targets.length * 2, 'all of it was done');
    t.strictSame(
      [...done].filter(([, times]) => times !== 1),
      [],
      'nothing was done twice',
    );
    const outages = said.split('is back').length - 1;
    t.ok(outages >= kills / 2, `the device lost its VM ${outages} times`);

    t.comment(
      JSON.stringify({ kills, seconds: (performance.now() - started) / 1000, answered, outages, before, after }),
    );
  });
});
