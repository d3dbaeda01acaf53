/** C16 C17 the audit log on disks that are really full, and cut by a real end of its process. Needs root. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { isEvent } from '../../../shared/audit/record.ts';
import { run } from '../../../shared/run.ts';
import { openLog, pathOf, proven, recordsOf, verify } from '../../unit/audit/support.ts';

const MARK = 'VMC_TEST_MOUNTS';
const WRITER = fileURLToPath(new URL('./audit-writer.ts', import.meta.url));

/** A file system of 32 MiB: what is in it is really out of room. */
async function smallDisk(t: Test): Promise<{ dir: string; fill: () => void; free: () => void }> {
  const disk = mkdtempSync(join(tmpdir(), 'vmc-audit-'));
  await run({ file: 'mount', args: ['-t', 'tmpfs', '-o', 'size=32m', 'tmpfs', disk], timeoutMs: 10_000 });
  t.teardown(async () => {
    await run({ file: 'umount', args: [disk], timeoutMs: 10_000 });
    rmdirSync(disk);
  });
  const dir = join(disk, 'state');
  mkdirSync(dir);
  const filler = join(disk, 'filler');
  return {
    dir,
    fill: () => {
      const { bavail, bsize } = statfsSync(disk);
      writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize)), { flag: 'a' });
    },
    free: () => rmSync(filler),
  };
}

const action = { who: 'SHA256:ann', what: 'drive.open', target: 'drv1' };
const results = (dir: string) =>
  recordsOf(pathOf(dir))
    .filter(isEvent)
    .map(({ what, result }) => `${what} ${result}`);

async function tests(): Promise<void> {
  t.test('C16 failClosed on a full disk: the reserve first, then no action, then all again', async (t) => {
    const { dir, fill, free } = await smallDisk(t);
    const { log, problems } = await openLog(dir, { failClosed: true });
    fill();
    let done = 0;
    const act = () => log.around(action, async () => ++done);
    const acts: string[] = [];
    for (let i = 0; i < 20_000 && acts.at(-1) !== 'audit-unavailable'; i++) {
      if (statfsSync(dir).bavail > 0 && i === 40) fill(); // someone else takes the room of the reserve
      acts.push(
        await act().then(
          () => 'ok',
          ({ code }: { code: string }) => code,
        ),
      );
    }
    t.equal(acts.at(-1), 'audit-unavailable');
    t.ok(acts.length > 20, 'the owner could act from the reserve for a while');
    t.equal(done, acts.length - 1, 'what was refused was not begun');
    t.match(problems, [/The disk is full/, /cannot be written/], 'said once each, loudly');
    await t.rejects(act(), { code: 'audit-unavailable', hint: /doctor/ });
    t.ok(log.isFailing);
    free();
    t.equal(await act(), acts.length, 'it works again by itself');
    t.equal(log.isFailing, false);
    t.equal(problems.at(-1), 'recovered');
    await log.close();
    t.match(results(dir).slice(-3), ['audit.gap lost', 'drive.open begun', 'drive.open ok']);
    t.match((await proven(pathOf(dir))).notes, [/lost/]);
  });

  t.test('C16 a result that cannot be recorded: its action stays begun, the next is refused', async (t) => {
    const { dir, fill, free } = await smallDisk(t);
    const { log } = await openLog(dir, { failClosed: true });
    const answer = await log.around(action, async () => {
      for (let i = 0; i < 3; i++) {
        fill();
        // Uses up the reserve, and what is left of the last block.
        for (let j = 0; j < 40; j++)
          await log.record({ who: 'root', what: 'x', target: 'y'.repeat(300), result: 'ok' });
      }
      return 'done';
    });
    t.equal(answer, 'done', 'it has been done, and that is what the caller hears');
    await t.rejects(
      log.around(action, async () => t.fail('begun')),
      { code: 'audit-unavailable' },
    );
    t.equal((await proven(pathOf(dir))).unfinished.length, 1);
    free();
    await log.around(action, async () => 'done');
    await log.close();
  });

  t.test('C17 by default a full disk stops nobody, and the gap is told', async (t) => {
    const { dir, fill, free } = await smallDisk(t);
    const { log } = await openLog(dir);
    fill();
    let done = 0;
    for (let i = 0; !log.isFailing && i < 20_000; i++) {
      if (i === 40) fill();
      await log.around(action, async () => ++done);
    }
    await log.close();
    const { log: second, problems } = await openLog(dir); // vmc starts on a full disk, too
    t.match(problems, [/cannot be written/]);
    const before = done;
    for (let i = 0; i < 10; i++) await second.around(action, async () => ++done);
    t.equal(done, before + 10);
    free();
    await second.record({ who: 'root', what: 'x', result: 'ok' });
    await second.close();
    const gap = recordsOf(pathOf(dir)).findLast(({ what }) => what === 'audit.gap');
    t.match(gap, { target: '20 records', result: 'lost' });
    await proven(pathOf(dir));
  });

  t.test(
    'C16 killed in the middle of writing, again and again: all that was answered is there, in one chain',
    async (t) => {
      const dir = t.testdir();
      let answered = 0;
      for (let i = 0; i < 5; i++) {
        const child = spawn(process.execPath, [WRITER, dir], { stdio: ['ignore', 'pipe', 'inherit'] });
        const ended = once(child, 'close');
        let said = '';
        child.stdout.on('data', (chunk: Buffer) => {
          said += chunk.toString();
          if (said.length > 4000) child.kill('SIGKILL');
        });
        await ended;
        const numbers = said.split('\n').slice(0, -1).map(Number);
        answered = Math.max(answered, ...numbers);
        const targets = new Set(
          recordsOf(pathOf(dir))
            .filter(isEvent)
            .map(({ target }) => target),
        );
        t.ok(numbers.length > 100 && numbers.every((it) => targets.has(`${it}`)), 'what was answered is on disk');
      }
      const { log } = await openLog(dir);
      await log.close();
      t.notOk('problem' in (await verify(pathOf(dir), { key: () => true })));
    },
  );
}

if (process.env[MARK] === undefined) {
  const args = ['-m', process.execPath, fileURLToPath(import.meta.url)];
  await t.spawn('unshare', args, { env: { ...process.env, [MARK]: '1', TAP: '1' } }, 'with mounts of its own');
} else await tests();
