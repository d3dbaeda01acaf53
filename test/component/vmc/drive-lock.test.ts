/** `vmc drive …` on the spot and the daemon: one of them at a time works on a drive, whatever becomes of the other. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { lockDrive } from '../../../vmc/drives/drive-lock.ts';

const driveId = 'drv0123456789abcdef';
const module = join(import.meta.dirname, '../../../vmc/drives/drive-lock.ts');
const run = join(import.meta.dirname, '../../../shared/run.ts');
const quiet = new AbortController().signal;

/** Takes the lock in a process of its own, and keeps it; with `child`, a command that inherits it outlives that process. */
async function holder(t: Test, folder: string, child = false) {
  const code = `
    const { lockDrive } = await import(${JSON.stringify(module)});
    const { run } = await import(${JSON.stringify(run)});
    const lock = await lockDrive('${driveId}', { folder: ${JSON.stringify(folder)}, waitMs: 0, signal: new AbortController().signal });
    ${child ? "void run({ file: 'sleep', args: ['1'], inherit: lock.fd, timeoutMs: 10_000 }).catch(() => {});" : ''}
    setImmediate(() => console.log('held'));
    setInterval(() => {}, 1000);`;
  const process = spawn('node', ['--input-type=module', '--eval', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => process.kill('SIGKILL'));
  await once(createInterface(process.stdout), 'line');
  return process;
}

t.test('another process has the drive: busy, and which one; kill -9 lets it go', async (t) => {
  const folder = join(t.testdir(), 'locks');
  const other = await holder(t, folder);
  const take = (waitMs: number, signal = quiet) => lockDrive(driveId, { folder, waitMs, signal });
  await t.rejects(take(0), { code: 'busy', message: new RegExp(`process ${other.pid}\\b`) });
  await t.rejects(take(300), { code: 'busy' }, 'it waits no longer than it was told');
  const free = await lockDrive('drvffffffffffffffff', { folder, waitMs: 0, signal: quiet });
  await free.release();

  const reason = new Error('the caller has gone');
  const stop = new AbortController();
  const stopped = take(60_000, stop.signal);
  stop.abort(reason);
  await t.rejects(stopped, reason, 'who waits can stop');

  const next = take(60_000);
  other.kill('SIGKILL');
  const lock = await next;
  await t.rejects(take(0), { code: 'busy', message: new RegExp(`process ${process.pid}\\b`) });
  await lock.release();
  await (await take(0)).release();
});

t.test('what still writes to the drive has it, also when its vmc was killed', async (t) => {
  const folder = join(t.testdir(), 'locks');
  const other = await holder(t, folder, true);
  other.kill('SIGKILL');
  await once(other, 'exit');
  await t.rejects(lockDrive(driveId, { folder, waitMs: 0, signal: quiet }), { code: 'busy' });
  await (await lockDrive(driveId, { folder, waitMs: 30_000, signal: quiet })).release();
});

t.test('no other name than a drive id becomes a file', async (t) => {
  const folder = t.testdir();
  await t.rejects(lockDrive('../x', { folder, waitMs: 0, signal: quiet }), /drive id/);
});
