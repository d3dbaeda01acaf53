import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { Locks } from '../../../host-agent/state/locks.ts';
import { makeFolder } from '../../../shared/files.ts';

t.test('H10: of many that want one object, one at a time has it', async (t) => {
  const folder = t.testdir();
  const [a, b] = [new Locks(folder), new Locks(folder)];
  let inside = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 12 }, (_, i) =>
      (i % 2 === 0 ? a : b).hold(['x'], async () => {
        most = Math.max(most, ++inside);
        await new Promise(setImmediate);
        inside--;
      }),
    ),
  );
  t.equal(most, 1);
  t.strictSame(await readdir(folder), []);
});

t.test('H10: … of many processes too, while others are killed with the lock in hand', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'number');
  await writeFile(file, '0');
  const script = join(import.meta.dirname, 'support/lock-counter.ts');
  const env = { ...process.env, NODE_OPTIONS: '' };
  const start = (times: number) => spawn(process.execPath, [script, folder, file, String(times)], { env });
  const ends = Array.from({ length: 6 }, () => once(start(20), 'exit'));
  const killed = start(1_000_000);
  await ends[0];
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  for (const [code] of await Promise.all(ends)) t.equal(code, 0);
  t.ok(Number(await readFile(file, 'utf8')) >= 120, 'no step was lost');
  t.equal(await new Locks(folder).isHeld('x'), false);
});

t.test('two objects are taken in one order, whatever order they are named in', async (t) => {
  const locks = new Locks(t.testdir());
  const both = await Promise.all([
    locks.hold(['a', 'b'], async () => 1),
    locks.hold(['b', 'a'], async () => 2),
    locks.hold(['b', 'b'], async () => 3),
  ]);
  t.strictSame(both, [1, 2, 3]);
});

t.test('who waits too long is told who holds it', async (t) => {
  const folder = t.testdir();
  await new Locks(folder).hold(['x'], async () => {
    await t.rejects(
      new Locks(folder, 50).hold(['x'], async () => {}),
      {
        code: 'busy',
        message: new RegExp(`process ${process.pid}`),
      },
    );
  });
});

t.test('H9: what a process that is gone has left is in nobody’s way', async (t) => {
  const folder = t.testdir();
  await makeFolder(folder, 0o700);
  for (const text of ['1\n', `${process.pid}\n`, 'anything']) {
    await writeFile(join(folder, 'x.lock'), text);
    t.equal(await new Locks(folder).isHeld('x'), false);
    t.equal(await new Locks(folder, 1000).hold(['x'], async () => 'done'), 'done');
    t.strictSame(await readdir(folder), [], 'nothing is left');
  }
});

t.test('a failure inside gives the lock back', async (t) => {
  const locks = new Locks(t.testdir());
  const failing = locks.hold(['x'], async () => {
    t.equal(await locks.isHeld('x'), true);
    throw new Error('inside');
  });
  await t.rejects(failing, { message: 'inside' });
  t.equal(await locks.isHeld('x'), false);
});
