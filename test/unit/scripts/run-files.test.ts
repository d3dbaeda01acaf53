import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { inOrder, runFiles } from '../../../scripts/run-files.ts';

const TAP = JSON.stringify(import.meta.resolve('tap'));

async function runAll(
  t: Test,
  sources: Record<string, string>,
  limitSeconds = 30,
  signal = new AbortController().signal,
) {
  const folder = t.testdir(sources);
  const shown: string[] = [];
  const options = { jobs: 2, timeoutSeconds: 20, limitSeconds, env: process.env, signal };
  const files = Object.keys(sources).map((name) => join(folder, name));
  const counts = await runFiles(files, { ...options, show: (line) => shown.push(line) });
  return { folder, counts, shown: shown.map((line) => line.replaceAll(`${folder}/`, '').replace(/ +\(\d+ ms\)/, '')) };
}

t.test('files that pass, fail, and end too early', async (t) => {
  const { counts, shown } = await runAll(t, {
    'passes.mjs': `import t from ${TAP}; t.test('group', async (t) => { t.ok(true); t.ok(true); });`,
    'fails.mjs': `import t from ${TAP}; t.ok(true); t.ok(false, 'what fails');`,
    'leaves.mjs': `import t from ${TAP}; t.test('group', async (t) => { t.ok(true); process.exit(0); });`,
    'throws.mjs': `import t from ${TAP}; t.ok(true); throw new Error('no');`,
    'empty.mjs': '',
  });
  t.equal(counts.passed, 5);
  t.ok(counts.failed >= 4);
  for (const line of [
    'ok     passes.mjs',
    'FAILED fails.mjs',
    'FAILED leaves.mjs',
    'FAILED throws.mjs',
    'FAILED empty.mjs',
  ])
    t.ok(shown.includes(line), line);
  t.ok(shown.some((line) => line.includes('what fails')));
});

t.test('what hangs is ended, and what it left running is not waited for', async (t) => {
  const { shown, folder } = await runAll(
    t,
    {
      'hangs.mjs': 'for (;;);',
      'leaves-a-process.mjs': `import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import t from ${TAP};
const child = spawn('sleep', ['60'], { stdio: ['ignore', 'inherit', 'ignore'], detached: true });
child.unref();
writeFileSync(import.meta.filename + '.pid', String(child.pid));
t.ok(true);`,
    },
    5,
  );
  process.kill(Number(await readFile(join(folder, 'leaves-a-process.mjs.pid'), 'utf8')));
  t.ok(shown.includes('FAILED hangs.mjs'));
  t.ok(shown.includes('not ok: hangs.mjs: it ended with SIGKILL'));
  t.ok(shown.includes('ok     leaves-a-process.mjs'));
});

t.test('told to stop, it ends what runs and begins no more', async (t) => {
  const stop = new AbortController();
  const file = `import t from ${TAP}; t.test('group', () => new Promise(() => setInterval(() => {}, 1000)));`;
  setImmediate(() => stop.abort());
  const { shown } = await runAll(t, { 'one.mjs': file, 'two.mjs': file, 'three.mjs': file }, 30, stop.signal);
  t.ok(shown.includes('FAILED one.mjs'));
  t.notOk(shown.includes('FAILED three.mjs'));
});

t.test('what takes longest comes first', async (t) => {
  t.strictSame(inOrder(['c', 'b', 'a', 'd'], ['d', 'b']), ['d', 'b', 'a', 'c']);
  t.throws(() => inOrder(['a'], ['b']), /no such test: b/);
});
