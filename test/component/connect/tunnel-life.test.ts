/**
 * C5, B4: a tunnel keeps its local port while vmc restarts, the endpoint or the channel goes, the network swallows everything, or
 * the device sleeps. What was open is cut, and never seems to have ended; what comes waits, and goes through.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { run } from '../../../shared/run.ts';
import { until } from '../backend/fixture.ts';
import { inNamespace } from '../vmc/in-namespace.ts';
import type { FakeVm } from './fake-vm.ts';
import { PASSPHRASE, type Person, startWorld } from './fake-world.ts';
import { startEcho } from './tunnel-server.ts';

const PATIENCE_MS = 60_000;
/** Longer than what counts as sleep (shared/net/disturbance.ts). */
const SLEEP_MS = 8_000;
const MAIN = new URL('../../../connect/main.ts', import.meta.url).pathname;

t.setTimeout(300_000);
await inNamespace(import.meta.url, () => {
  /** One for all tests of this file, with connect as a process of its own. */
  const started = start();

  async function start() {
    const world = await startWorld(t);
    const ada = await world.admin('ada');
    const port = await startEcho(t);
    world.tunnelPorts = [{ from: port, to: port }];
    await world.addHost(ada);
    await ada.ok('vm', 'create', 'lab', '--image', 'debian12', '--wait');
    await ada.ok('vm', 'info', 'lab');
    const tunnel = await startTunnel(t, ada, port);
    return { ada, vm: world.vms.get('lab') as FakeVm, ...tunnel };
  }

  t.test('vmc restarts and has another certificate', async (t) => {
    const { vm, localPort } = await started;
    const before = await openStream(t, localPort);
    await vm.restart();
    t.equal(await before.fate, 'cut');
    await echoes(t, localPort);
  });

  t.test('the endpoint is closed', async (t) => {
    const { ada, localPort } = await started;
    const before = await openStream(t, localPort);
    const { endpoints } = (await ada.ok('endpoint', 'list', '--json')).json<{ endpoints: { endpointId: string }[] }>();
    for (const { endpointId } of endpoints) await ada.ok('endpoint', 'close', endpointId);
    t.equal(await before.fate, 'cut');
    await echoes(t, localPort);
  });

  t.test('the channel is cut: streams go on, and what comes when the grant is gone too goes through', async (t) => {
    const { vm, localPort } = await started;
    const before = await openStream(t, localPort);
    vm.cutChannels();
    await before.echoes('still here');
    vm.grants.closeAll();
    t.equal(await before.fate, 'cut');
    await echoes(t, localPort);
  });

  t.test('a network that swallows everything: what is open goes on after it, what comes waits', async (t) => {
    const { localPort } = await started;
    const before = await openStream(t, localPort);
    const nft = (stdin: string) => run({ file: 'nft', args: ['-f', '-'], stdin, timeoutMs: 10_000 });
    await nft(
      'table inet hole { chain in { type filter hook input priority 0; tcp dport 46000-46100 drop; tcp sport 46000-46100 drop; }; }',
    );
    const [old, waiting] = [before.echoes('through the hole'), echoes(t, localPort)];
    await new Promise((resolve) => setTimeout(resolve, 3_000)); // how long it lasts
    await nft('delete table inet hole');
    await Promise.all([old, waiting]);
  });

  t.test('the device sleeps, and all that it had is gone when it wakes', async (t) => {
    const { ada, vm, localPort, child } = await started;
    const before = await openStream(t, localPort);
    child.kill('SIGSTOP');
    await vm.restart();
    const { endpoints } = (await ada.ok('endpoint', 'list', '--json')).json<{ endpoints: { endpointId: string }[] }>();
    for (const { endpointId } of endpoints) await ada.ok('endpoint', 'close', endpointId);
    await new Promise((resolve) => setTimeout(resolve, SLEEP_MS));
    child.kill('SIGCONT');
    t.equal(await before.fate, 'cut');
    await echoes(t, localPort);
  });

  t.test('changes of the way are said; Ctrl-C ends all', async (t) => {
    const { vm, child, output } = await started;
    const events = output()
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => JSON.parse(line).event);
    t.ok(events.includes('reconnecting'));
    t.equal(events.at(-1), 'connected');
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    t.strictSame(await ended, [0, null]);
    t.equal(vm.grants.size, 0);
  });
});

async function startTunnel(
  t: Test,
  { folder }: Person,
  port: number,
): Promise<{ child: ChildProcess; localPort: number; output: () => string }> {
  const args = [MAIN, '--dir', folder, '--passphrase-fd', '3', 'tunnel', 'lab', String(port), '--json'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  (child.stdio[3] as NodeJS.WritableStream).end(PASSPHRASE);
  let output = '';
  child.stdout?.on('data', (chunk) => {
    output += chunk;
  });
  await until(() => output.includes('\n'), PATIENCE_MS);
  return { child, localPort: JSON.parse(output.split('\n')[0] ?? '').localPort, output: () => output };
}

/** A stream that is open, and how it ends. */
async function openStream(t: Test, port: number) {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.teardown(() => socket.destroy());
  let heard = '';
  socket.on('data', (chunk) => {
    heard += chunk;
  });
  const fate = new Promise<'cut' | 'ended'>((resolve) => {
    socket.once('error', () => resolve('cut'));
    socket.once('end', () => resolve('ended'));
  });
  const echoes = async (words: string) => {
    socket.write(words);
    await until(() => heard.endsWith(words), PATIENCE_MS);
  };
  await echoes('open');
  return { fate, echoes };
}

/** A connection that comes now goes through: at once, or again when its first bytes met the cut (StreamLost). */
async function echoes(t: Test, port: number): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (let tries = 1; ; tries++) {
    const socket = connect({ port, host: '127.0.0.1' });
    const heard = once(socket, 'data', { signal: AbortSignal.timeout(PATIENCE_MS) }).then(String, () => 'cut');
    socket.on('error', () => {});
    socket.write('words');
    const answer = await heard;
    socket.destroy();
    if (answer === 'words') return void t.pass(`after ${tries}`);
    if (performance.now() > end) throw new Error('nothing went through');
  }
}
