import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import t from 'tap';
import { PRODUCTS } from '../../../packaging/products.ts';
import { run } from '../../../shared/run.ts';

const root = resolve(import.meta.dirname, '../../..');
const systemd = join(root, 'systemd');

t.test('C4: systemd understands every unit, and finds nothing to say about it', async (t) => {
  const dir = t.testdir({});
  for (const { package: name } of Object.values(PRODUCTS)) {
    await mkdir(join(dir, 'usr/lib', name), { recursive: true });
    await writeFile(join(dir, 'usr/lib', name, 'node'), '', { mode: 0o755 });
  }
  await mkdir(join(dir, 'usr/sbin'), { recursive: true });
  await writeFile(join(dir, 'usr/sbin/nft'), '', { mode: 0o755 });
  const units = join(dir, 'usr/lib/systemd/system');
  await cp('/usr/lib/systemd/system', units, { recursive: true, verbatimSymlinks: true });
  const names = (await readdir(systemd)).filter((name) => /\.(service|socket|timer)$/.test(name));
  t.strictSame(
    names.sort(),
    Object.values(PRODUCTS)
      .flatMap((product) => product.units)
      .sort(),
    'each unit is in a package',
  );
  for (const name of names) await cp(join(systemd, name), join(units, name));
  for (const name of names) {
    const { stderr } = await run({
      file: 'systemd-analyze',
      args: [`--root=${dir}`, 'verify', '--man=no', '--recursive-errors=no', name],
      timeoutMs: 20_000,
    });
    t.equal(stderr, '', name);
  }
});

t.test('C4: the boot rules close everything but DHCP, load twice as once, and give way to vmc’s own', async (t) => {
  const namespace = `vmc-test-nft-${process.pid}`;
  await run({ file: 'ip', args: ['netns', 'add', namespace], timeoutMs: 5000 });
  t.teardown(() => run({ file: 'ip', args: ['netns', 'delete', namespace], timeoutMs: 5000 }));
  const nft = (args: readonly string[], stdin?: string) =>
    run({
      file: 'ip',
      args: ['netns', 'exec', namespace, 'nft', ...args],
      timeoutMs: 5000,
      ...(stdin === undefined ? {} : { stdin }),
    });
  const rules = join(systemd, 'boot.nft');
  await nft(['-f', rules]);
  const once = (await nft(['list', 'ruleset'])).stdout;
  await nft(['-f', rules]);
  t.equal((await nft(['list', 'ruleset'])).stdout, once);
  t.equal(once.match(/policy drop;/g)?.length, 3, 'in, through and out');
  t.notMatch(once, /tcp/, 'no TCP at all');
  await nft(['-f', '-'], 'delete table inet vmc\ntable inet vmc {\n\tchain own {\n\t}\n}\n');
  t.match((await nft(['list', 'ruleset'])).stdout, /chain own/);
  t.match(await readFile(join(systemd, 'vmc-firewall.service'), 'utf8'), /\/usr\/lib\/vmc\/boot\.nft/);
});
