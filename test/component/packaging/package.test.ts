import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import t from 'tap';
import { bundle } from '../../../packaging/bundle.ts';
import { buildDeb } from '../../../packaging/deb.ts';
import { PRODUCTS } from '../../../packaging/products.ts';
import { run } from '../../../shared/run.ts';

const root = resolve(import.meta.dirname, '../../..');
const NODE = process.execPath;

t.test('a bundle runs by itself, loads late what is imported late, and is the same every time', async (t) => {
  const dir = t.testdir({});
  // Inside the repository, so that its libraries are found.
  const source = join(root, '.build/test-bundle');
  await mkdir(source, { recursive: true });
  t.teardown(() => rm(source, { recursive: true, force: true }));
  await writeFile(join(source, 'late.ts'), "export const word: string = 'late';\n");
  await writeFile(
    join(source, 'main.ts'),
    [
      "import { pino } from 'pino';",
      "import { WebSocketServer } from 'ws';",
      "import * as z from 'zod';",
      'function namedInTraces(): never { throw new Error(z.string().parse(typeof pino + typeof WebSocketServer)); }',
      "if (process.argv[2] === 'late') console.log((await import('./late.ts')).word);",
      'else try { namedInTraces(); } catch (e) { console.log((e as Error).stack); }',
    ].join('\n'),
  );
  const make = (name: string) => bundle({ entry: join(source, 'main.ts'), outDir: join(dir, name), root });
  const { bytes, files } = await make('a');
  t.ok(bytes > 10_000 && bytes < 2_000_000, `${bytes} bytes`);
  t.equal(files.filter((file) => file.startsWith('late-')).length, 1, 'late.ts is a file of its own');
  const alone = { cwd: join(dir, 'a'), timeoutMs: 20_000, file: NODE };
  t.match((await run({ ...alone, args: ['main.js'] })).stdout, /Error: functionfunction\n\s+at namedInTraces/);
  t.equal((await run({ ...alone, args: ['main.js', 'late'] })).stdout, 'late\n');
  t.match(await readFile(join(dir, 'a/LICENCES'), 'utf8'), /^zod \d.*MIT/m);
  await make('b');
  await run({ file: 'diff', args: ['--recursive', 'a', 'b'], cwd: dir, timeoutMs: 10_000 });
  await t.rejects(bundle({ entry: join(source, 'missing.ts'), outDir: join(dir, 'c'), root }), { code: 'bad-data' });
});

t.test('the vmc package: what is in it, whose it is, and the same bytes every time', async (t) => {
  const dir = t.testdir({
    bundle: { 'main.js': 'console.log(process.argv[2])\n', LICENCES: 'none\n', 'package.json': '{}' },
  });
  const options = { product: PRODUCTS.vmc, version: '1.2.3', bundleDir: join(dir, 'bundle'), root, node: '/bin/true' };
  const deb = await buildDeb({ ...options, outDir: join(dir, 'a') });
  t.equal(deb, join(dir, 'a/vmc_1.2.3_amd64.deb'));
  t.strictSame(await readdir(join(dir, 'a')), ['vmc_1.2.3_amd64.deb'], 'no temporary file is left');

  const { stdout: list } = await run({ file: 'dpkg-deb', args: ['--contents', deb], timeoutMs: 10_000 });
  for (const line of [
    /^-rwxr-xr-x root\/root .* \.\/usr\/lib\/vmc\/node$/m,
    /^-rw-r--r-- root\/root .* \.\/usr\/lib\/vmc\/main\.js$/m,
    /^-rwxr-xr-x root\/root .* \.\/usr\/bin\/vmc$/m,
    /^-rw-r--r-- root\/root .* \.\/etc\/vmc\/vmc\.toml$/m,
    /multi-user\.target\.wants\/vmc\.service -> \.\.\/vmc\.service$/m,
    /systemd-networkd\.service\.requires\/vmc-firewall\.service -> /m,
  ])
    t.match(list, line);
  t.notMatch(list, /^.(?!rwxr-xr-x|rw-r--r--|rwxrwxrwx)/m, 'no odd modes');
  await run({ file: 'dpkg-deb', args: ['--raw-extract', deb, join(dir, 'out')], timeoutMs: 10_000 });
  await run({ file: 'sh', args: ['-n', join(dir, 'out/DEBIAN/postinst')], timeoutMs: 5000 });

  const again = await buildDeb({ ...options, outDir: join(dir, 'b') });
  t.ok((await readFile(deb)).equals(await readFile(again)), 'reproducible');
  await t.rejects(buildDeb({ ...options, version: 'x/../y', outDir: dir }), { code: 'bad-request' });
});
