/**
 * Strangers at vmc's port: whatever they do with their connections, the owner gets through, memory stays bounded, and every
 * descriptor comes back. The tunnel server and each attacker are processes of their own.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { until } from '../backend/fixture.ts';
import type { Attack, AttackTold } from './attacker.ts';
import { start, startTunnel, told } from './start-tunnel.ts';

const PRE_AUTH_MS = 4_000;
const MOST_GROWTH_MIB = 160;
const PATIENCE_MS = 30_000;

const tunnel = await startTunnel(t, PRE_AUTH_MS);
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
