import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { endProcess, openLab, processesIn, removeLeftovers, startTimeOf } from '../../../lab/leftovers.ts';
import { ADDRESSES, createNetwork, inNamespace } from '../../../lab/namespaces.ts';
import { startProcess } from '../../../lab/process.ts';
import { run } from '../../../shared/run.ts';
import { Undo } from '../../../shared/undo.ts';

async function reaches(from: string, address: string): Promise<boolean> {
  const [file, ...args] = inNamespace(from, 'ping', ['-c', '1', '-W', '1', address]);
  return (await run({ file, args, okExitCodes: [0, 1, 2], timeoutMs: 5000 })).exitCode === 0;
}

const namespaces = async (): Promise<string> =>
  (await run({ file: 'ip', args: ['netns', 'list'], timeoutMs: 5000 })).stdout;

t.test('the user reaches the backend, the backend the VM host, and nobody anything else', async (t) => {
  const lab = await openLab({ parent: t.testdir({}) });
  const undo = new Undo();
  t.teardown(() => lab.remove());
  const { user, backend, vmhost } = await createNetwork(lab, undo);
  t.ok(await reaches(user, ADDRESSES.backendForUser), 'user → backend');
  t.ok(await reaches(backend, ADDRESSES.vmhost), 'backend → VM host');
  t.notOk(await reaches(user, ADDRESSES.vmhost), 'no route');
  // Even one who sets a route gets nowhere: the backend forwards nothing.
  await run({
    file: 'ip',
    args: ['-n', user, 'route', 'add', 'default', 'via', ADDRESSES.backendForUser],
    timeoutMs: 5000,
  });
  await run({
    file: 'ip',
    args: ['-n', vmhost, 'route', 'add', 'default', 'via', ADDRESSES.backendForVmhost],
    timeoutMs: 5000,
  });
  t.notOk(await reaches(user, ADDRESSES.vmhost), 'nothing is forwarded');
  t.notOk(await reaches(vmhost, ADDRESSES.user), 'nor back');
  t.strictSame(await undo.rollBack(), []);
  t.notMatch(await namespaces(), lab.id);
  t.strictSame(await undo.rollBack(), [], 'undoing twice is fine');
});

t.test('a process: its lines, its end, its last words', async (t) => {
  const lab = await openLab({ parent: t.testdir({}) });
  t.teardown(() => lab.remove());
  const start = (script: string, onUnexpectedExit?: (error: Error) => void) =>
    startProcess({
      lab,
      name: 'thing',
      argv: ['sh', '-c', script],
      logFile: join(lab.folder, 'thing.log'),
      ...(onUnexpectedExit === undefined ? {} : { onUnexpectedExit }),
    });
  const ready = await start('echo one; echo port 77; exec sleep 60');
  t.equal((await ready.waitForLine(/^port (\d+)$/, 5000))[1], '77');
  await t.rejects(ready.waitForLine(/never/, 50), { code: 'timeout' });
  await ready.stop();
  await ready.stop();
  t.notOk(ready.running);
  t.equal(await startTimeOf(ready.pid), undefined);

  const stubborn = await start('trap "" TERM; echo deaf; while :; do sleep 60; done');
  await stubborn.waitForLine(/^deaf$/, 5000);
  await stubborn.stop(100);
  t.equal(await stubborn.ended, 'signal SIGKILL');

  let told: Error | undefined;
  const broken = await start('echo cannot; exit 3', (error) => {
    told = error;
  });
  await t.rejects(broken.waitForLine(/ready/, 5000), { code: 'command-failed', message: /exit code 3.*\ncannot/ });
  t.match(told?.message, 'cannot');
  // Ended before anybody could listen: seen all the same. Many, as it takes a tight race.
  const brief = await Promise.all(Array.from({ length: 20 }, () => start('exit 4').then((it) => it.ended)));
  t.strictSame(new Set(brief), new Set(['exit code 4']));
  await t.rejects(startProcess({ lab, name: 'none', argv: ['/no/such'], logFile: join(lab.folder, 'n.log') }), {
    code: 'command-failed',
  });
});

t.test('leftovers of a crashed run are removed; what is alive or someone else’s is not', async (t) => {
  const parent = t.testdir({});
  const script = `
    import { openLab } from ${JSON.stringify(new URL('../../../lab/leftovers.ts', import.meta.url).href)};
    import { createNetwork, inNamespace } from ${JSON.stringify(new URL('../../../lab/namespaces.ts', import.meta.url).href)};
    import { startProcess } from ${JSON.stringify(new URL('../../../lab/process.ts', import.meta.url).href)};
    import { Undo } from ${JSON.stringify(new URL('../../../shared/undo.ts', import.meta.url).href)};
    const lab = await openLab({ parent: ${JSON.stringify(parent)} });
    const { user } = await createNetwork(lab, new Undo());
    const child = await startProcess({ lab, name: 'x', argv: inNamespace(user, 'sleep', ['60']), logFile: lab.folder + '/x.log' });
    console.log(lab.id + ' ' + child.pid);
    process.kill(process.pid, 'SIGKILL');`;
  const crashed = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  crashed.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await once(crashed, 'close');
  const [id = '', pid = '0'] = said.trim().split(' ');
  t.match(await namespaces(), `vmc-${id}-user`);
  t.not(await startTimeOf(Number(pid)), undefined, 'the process outlived its run');

  const alive = await openLab({ parent });
  t.teardown(() => alive.remove());
  t.strictSame(await removeLeftovers(parent), [id]);
  t.notMatch(await namespaces(), id);
  t.equal(await startTimeOf(Number(pid)), undefined);
  t.strictSame(await readdir(parent), [`vmc-lab-${alive.id}`], 'a run that lives is left alone');
  t.strictSame(await removeLeftovers(parent), [], 'twice is fine');
});

t.test('what is kept goes with the next cleaning, whether its process lives, is a zombie or is gone', async (t) => {
  const parent = t.testdir({});
  const mine = await openLab({ parent });
  t.teardown(() => mine.remove());
  const child = await startProcess({ lab: mine, name: 'x', argv: ['sleep', '60'], logFile: join(parent, 'x.log') });
  t.strictSame(await removeLeftovers(parent), [], 'not before it is kept');
  t.ok(child.running);
  await mine.keep();
  t.strictSame(await removeLeftovers(parent), [mine.id], 'its process is this one, and lives');
  t.equal(await child.ended, 'signal SIGTERM');

  // The shell becomes a program that never asks how its child ended: the kernel keeps the child as a zombie.
  const script = `
    import { openLab } from ${JSON.stringify(new URL('../../../lab/leftovers.ts', import.meta.url).href)};
    console.log((await openLab({ parent: ${JSON.stringify(parent)} })).id + ' ' + process.pid);`;
  const careless = spawn(
    'sh',
    ['-c', '"$0" "$@" & exec sleep 60', process.execPath, '--input-type=module-typescript', '-e', script],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  t.teardown(() => careless.kill('SIGKILL'));
  const [said] = (await once(careless.stdout, 'data')) as [Buffer];
  const [id = '', pid = ''] = said.toString().trim().split(' ');
  const stateOf = async () => /^State:\s+(\S)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  while ((await stateOf()) !== 'Z') await new Promise((resolve) => setTimeout(resolve, 10));
  t.strictSame(await removeLeftovers(parent), [id], 'a zombie runs nothing');
});

t.test('a pid that now belongs to someone else is never touched', async (t) => {
  const other = spawn('sleep', ['60'], { stdio: 'ignore' });
  await once(other, 'spawn');
  const pid = other.pid as number;
  await endProcess({ pid, startTime: '1' }, 100);
  t.not(await startTimeOf(pid), undefined, 'still there');
  await endProcess({ pid, startTime: (await startTimeOf(pid)) ?? '' }, 1000);
  t.equal(await startTimeOf(pid), undefined);
});

t.test('the record holds no more than a person may read, and servers in a namespace are found', async (t) => {
  const lab = await openLab({ parent: t.testdir({}) });
  t.teardown(() => lab.remove());
  const { user } = await createNetwork(lab, new Undo());
  const [file, ...args] = inNamespace(user, 'sleep', ['60']);
  const child = spawn(file, args, { stdio: 'ignore' });
  await once(child, 'spawn');
  const state = JSON.parse(await readFile(join(lab.folder, 'state.json'), 'utf8')) as { namespaces: string[] };
  t.equal(state.namespaces.length, 3);
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.close();
  // ip(8) has entered the namespace by the time it has become sleep.
  while ((await processesIn(user)).length === 0) await new Promise((resolve) => setImmediate(resolve));
  t.strictSame(
    (await processesIn(user)).map((id) => id.pid),
    [child.pid],
  );
  await t.rejects(openLab({ id: '../x' }), { code: 'bad-request' });
});
