/** C1: the VM gets another address and another way to its backend. Nobody does anything, and its owner reaches it again. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import t from 'tap';
import { controlMethods } from '../../../shared/api/index.ts';
import { run } from '../../../shared/run.ts';
import { until } from '../backend/fixture.ts';
import { inNamespace } from '../vmc/in-namespace.ts';
import { device } from './device.ts';
import { makeSystem } from './real-system.ts';

const BACKEND = '10.99.0.1';
const ip = (...args: string[]) => run({ file: 'ip', args, timeoutMs: 10_000 });

await inNamespace(import.meta.url, () => {
  t.test('C1 a change of address and route needs no human', async (t) => {
    // The backend's machine is this namespace, the VM another.
    const holder = spawn('unshare', ['--net', 'sleep', '600'], { stdio: 'ignore' });
    t.teardown(() => holder.kill('SIGKILL'));
    const here = readlinkSync('/proc/self/ns/net');
    await until(() => readlinkSync(`/proc/${holder.pid}/ns/net`) !== here);
    const inside = ['nsenter', `--net=/proc/${holder.pid}/ns/net`];
    const ipInside = (...args: string[]) =>
      run({ file: 'nsenter', args: [...inside.slice(1), 'ip', ...args], timeoutMs: 10_000 });
    await ip('link', 'add', 'outer', 'type', 'veth', 'peer', 'name', 'inner', 'netns', String(holder.pid));
    await ip('addr', 'add', `${BACKEND}/24`, 'dev', 'outer');
    await ip('addr', 'add', '10.99.1.1/24', 'dev', 'outer');
    await ip('link', 'set', 'outer', 'up');
    await ipInside('link', 'set', 'lo', 'up');
    await ipInside('addr', 'add', '10.99.0.2/24', 'dev', 'inner');
    await ipInside('link', 'set', 'inner', 'up');

    const system = await makeSystem(t, BACKEND);
    const backend = await system.startBackend();
    await backend.said(/listening|started|ready|"level"/i);
    const vmc = system.startVmc(inside);
    await vmc.said(/"event":"parked"/);
    const { control } = await device(t, system, { life: { lookMs: 100, aliveMs: 1000, deadMs: 12_500 } }); // vmc speaks every 10 s
    const ping = () => control.call(controlMethods.systemPing, { payload: 'x' });
    t.same(await ping(), { payload: 'x' });

    await ipInside('addr', 'del', '10.99.0.2/24', 'dev', 'inner');
    await ipInside('addr', 'add', '10.99.1.2/24', 'dev', 'inner');
    await ipInside('route', 'add', `${BACKEND}/32`, 'via', '10.99.1.1');
    const started = performance.now();
    t.same(await ping(), { payload: 'x' }, 'over the new address');
    t.comment(`${((performance.now() - started) / 1000).toFixed(1)} s`);

    await ipInside('link', 'set', 'inner', 'down');
    await ipInside('link', 'set', 'inner', 'up');
    await ipInside('route', 'add', `${BACKEND}/32`, 'via', '10.99.1.1');
    t.same(await ping(), { payload: 'x' }, 'after the link was down for a moment');
    const stopped = once(vmc.child, 'exit');
    vmc.child.kill('SIGTERM');
    await stopped;
  });
});
