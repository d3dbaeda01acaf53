import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { descendantsOf, threadCpuSeconds } from '../../../bench/machine.ts';
import { NODE } from '../../../lab/programs.ts';

t.test('CPU seconds of a process: at least those that it knows of', async (t) => {
  const before = await threadCpuSeconds(process.pid);
  const { user, system } = process.cpuUsage();
  const until = performance.now() + 100;
  while (performance.now() < until) Math.sqrt(until);
  const spent = process.cpuUsage({ user, system });
  const seen = (await threadCpuSeconds(process.pid)) - before;
  t.ok(seen >= ((spent.user + spent.system) / 1e6) * 0.9, `${seen} s of ${(spent.user + spent.system) / 1e6} s`);
});

t.test('descendants: children, and theirs', async (t) => {
  // A Node that starts a Node, which says its pid and waits for its stdin to end.
  const inner = 'process.stdin.resume(); console.log(process.pid)';
  const outer = `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(inner)}], { stdio: 'inherit' })`;
  const child = spawn(NODE, ['-e', outer], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [said] = await once(child.stdout, 'data');
  const found = await descendantsOf(process.pid);
  t.ok(found.includes(child.pid as number));
  t.ok(found.includes(Number(said)));
  t.notOk(found.includes(process.pid));
  child.stdin.end();
  await once(child, 'exit');
});
