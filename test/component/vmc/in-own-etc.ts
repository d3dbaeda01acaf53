/**
 * Runs a test file in network and mount namespaces of its own, with copies of /etc and /home: accounts that the test makes are
 * nobody else's, and vanish with it. Needs root.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { nodeOptionsOf } from '../../../bench/deployed.ts';
import { run } from '../../../shared/run.ts';

const MARK = 'VMC_TEST_OWN_ETC';
const scratch = process.env[MARK];

/** In the first process: runs `url` again inside. In the second: runs the tests. */
export async function inOwnEtc(url: string, tests: () => void | Promise<void>): Promise<void> {
  if (scratch === undefined) {
    const folder = await mkdtemp('/var/tmp/vmc-etc-');
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    const node = [process.execPath, ...(await nodeOptionsOf('vmc'))]; // without these its SFTP takes twice as long
    const args = ['--net', '--mount', ...node, fileURLToPath(url)];
    await t.spawn('unshare', args, { env: { ...process.env, [MARK]: folder, TAP: '1' } }, 'with an /etc of its own');
    return;
  }
  await run({ file: 'ip', args: ['link', 'set', 'lo', 'up'], timeoutMs: 10_000 });
  await copy('/etc', join(scratch, 'etc'));
  await freshAccounts();
  await tests();
}

let count = 0;

/** From here on there are the machine's own accounts, an empty /home and an empty /mnt. */
export async function freshAccounts(): Promise<void> {
  if (scratch === undefined) throw new Error('not in an /etc of its own');
  const folder = join(scratch, `${++count}`);
  for (const name of ['home', 'mnt']) await mkdir(join(folder, name), { recursive: true, mode: 0o755 });
  await copy(join(scratch, 'etc'), join(folder, 'etc'));
  for (const name of ['etc', 'home', 'mnt'])
    await run({ file: 'mount', args: ['--bind', '--', join(folder, name), `/${name}`], timeoutMs: 10_000 });
}

async function copy(from: string, to: string): Promise<void> {
  await run({ file: 'cp', args: ['--archive', '--no-target-directory', '--', from, to], timeoutMs: 60_000 });
}
