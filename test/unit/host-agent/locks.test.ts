import { spawn } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { Locks, processStart } from '../../../host-agent/state/locks.ts';
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

t.test('H9: the lock of a process that is gone, or whose number is used again, is broken', async (t) => {
  const folder = t.testdir();
  await makeFolder(folder, 0o700);
  const gone = spawn('true');
  await new Promise((resolve) => gone.once('exit', resolve));
  const stale = (pid: number | undefined, start: string) => JSON.stringify({ pid, start, nonce: 'n' });
  for (const text of [stale(gone.pid, '1'), stale(process.pid, '1'), 'not JSON']) {
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

t.test('the start of a process', async (t) => {
  t.match(await processStart(process.pid), /^\d+$/);
  t.equal(await processStart(2 ** 22 + 1), undefined);
});
