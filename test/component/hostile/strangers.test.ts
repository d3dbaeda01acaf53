/**
 * Strangers at vmc's port: whatever they do with their connections, the owner gets through, memory stays bounded, and every
 * descriptor comes back. The tunnel server and each attacker are processes of their own.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import t, { type Test } from 'tap';
import { openStream, type TunnelPath } from '../../../connect/tunnel/open-stream.ts';
import { certificateSha256, makeCertificate } from '../../../shared/net/certificate.ts';
import { until } from '../backend/fixture.ts';
import { listen } from '../connect/tunnel-server.ts';
import { usage } from '../life/real-system.ts';
import type { Attack, AttackTold } from './attacker.ts';
import type { TunnelOrders, TunnelTold } from './serve-tunnel.ts';

const PRE_AUTH_MS = 4_000;
const OWNER_MS = 5_000;
const MOST_GROWTH_MIB = 160;
const PATIENCE_MS = 30_000;

function start(t: Pick<Test, 'teardown'>, name: string, orders: TunnelOrders | Attack): ChildProcess {
  const child = fork(new URL(name, import.meta.url).pathname, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  t.teardown(() => child.kill('SIGKILL'));
  child.send(orders);
  return child;
}

async function told<T>(child: ChildProcess): Promise<T> {
  const [message] = await once(child, 'message', { signal: AbortSignal.timeout(PATIENCE_MS) });
  return message as T;
}

async function startTunnel() {
  const service = createServer((socket) => socket.on('error', () => {}).end('hello from the VM'));
  const servicePort = await listen(service);
  t.teardown(() => service.close());
  const device = makeCertificate('device', 'clientAuth', 1, new Date());
  const deviceSha256 = certificateSha256(device.certificatePem);
  const child = start(t, 'serve-tunnel.ts', { deviceSha256, servicePort, preAuthMs: PRE_AUTH_MS });
  const ready = await told<TunnelTold>(child);
  if (ready.kind !== 'listening') throw new Error('expected the port');
  const { port, serverCertificateSha256 } = ready;
  const path: TunnelPath = { host: '127.0.0.1', port, certificate: device, serverCertificateSha256 };
  return {
    port,
    /** The whole way, as `connect` goes it. @returns milliseconds. */
    async owner(): Promise<number> {
      const started = performance.now();
      const { stream } = await openStream(path, servicePort, AbortSignal.timeout(OWNER_MS));
      let text = '';
      for await (const chunk of stream) text += String(chunk);
      if (text !== 'hello from the VM') throw new Error(`got ${JSON.stringify(text)}`);
      return performance.now() - started;
    },
    usage: () => usage(child.pid ?? 0),
    async refused(): Promise<Record<string, number>> {
      child.send('what was refused?');
      const answer = await told<TunnelTold>(child);
      return answer.kind === 'refused' ? answer.counts : {};
    },
  };
}

const tunnel = await startTunnel();
for (let i = 0; i < 5; i++) await tunnel.owner(); // what is loaded once is loaded
const before = tunnel.usage();

/** @param attacks each in a process of its own. @param last waits for what else they are to bring about. */
async function besieged(t: Test, attacks: readonly Omit<Attack, 'port'>[], last?: (them: ChildProcess[]) => unknown) {
  const them = attacks.map((attack) => start(t, 'attacker.ts', { ...attack, port: tunnel.port }));
  await Promise.all(them.map((child) => told<AttackTold>(child)));
  for (let i = 0; i < 5; i++) t.comment(`the owner got through in ${Math.round(await tunnel.owner())} ms`);
  t.pass('the owner got through, each time');
  await last?.(them);
  const grown = tunnel.usage().residentMiB - before.residentMiB;
  t.ok(grown < MOST_GROWTH_MIB, `the server grew by ${Math.round(grown)} MiB`);
  await Promise.all(
    them.map((child) => {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      return gone;
    }),
  );
  await until(() => tunnel.usage().descriptors <= before.descriptors, PATIENCE_MS);
  t.comment(`the owner got through in ${Math.round(await tunnel.owner())} ms`);
}

t.test('B1: 10,000 connections that say nothing, many from the owner’s own address', async (t) => {
  const attack = { kind: 'silent', count: 2_500 } as const;
  await besieged(
    t,
    [undefined, undefined, 2, 3].map((block) => ({ ...attack, block })),
  );
  t.ok(((await tunnel.refused())['too-many-connections'] ?? 0) > 9_000, 'the oldest went');
});

t.test('B1: hellos that come a byte at a time are cut at the deadline', async (t) => {
  await besieged(t, [{ kind: 'slow', count: 300, block: undefined }], ([them]) => them && told(them));
});

t.test('B1: HTTP, SSH, TLS 1.2, random bytes, spoilt hellos', async (t) => {
  await besieged(t, [
    { kind: 'garbage', count: 32, block: undefined },
    { kind: 'garbage', count: 32, block: 4 },
  ]);
});

t.test('B1: connections opened and closed as fast as possible', async (t) => {
  const over = AbortSignal.timeout(3_000);
  await besieged(
    t,
    [5, 6].map((block) => ({ kind: 'churn', count: 64, block }) as const),
    async () => {
      while (!over.aborted) await tunnel.owner();
    },
  );
});
