/** C6, B4: `connect sftp` and `connect sshfs-line` with OpenSSH's own sftp, through the real backend and vmc's tunnel server. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import { readSealedPublic } from '../../../shared/identity/sealed.ts';
import { openSshBlob } from '../../../shared/identity/ssh-form.ts';
import { run } from '../../../shared/run.ts';
import { until } from '../backend/fixture.ts';
import { startFakeSftp } from './fake-sftp.ts';
import type { FakeVm } from './fake-vm.ts';
import { startWorld } from './fake-world.ts';

const started = ready();

async function ready() {
  const world = await startWorld(t);
  const ada = await world.admin('ada');
  await world.addHost(ada);
  await ada.ok('vm', 'create', 'lab', '--image', 'debian12', '--wait');
  const vm = world.vms.get('lab') as FakeVm;
  const fake = await startFakeSftp(t);
  const { ed25519 } = readSealedPublic(await readFile(join(ada.folder, 'identity.json'), 'utf8'));
  fake.allowed = openSshBlob(ed25519);
  vm.sftp = fake.access;
  return { ada, vm, fake };
}

t.test("C6 files go both ways, a path is where sftp begins, and sftp's exit code is connect's", async (t) => {
  const { ada, vm, fake } = await started;
  const dir = t.testdir({ here: { one: 'first' }, there: {} });
  await writeFile(join(dir, 'batch'), `lcd ${dir}/here\nput one two\nget two three\n`);
  const moved = await ada.run('sftp', 'lab', join(dir, 'there'), '--', '-b', join(dir, 'batch'));
  t.equal(moved.code, 0, moved.io.errors());
  t.equal(await readFile(join(dir, 'there/two'), 'utf8'), 'first');
  t.equal(await readFile(join(dir, 'here/three'), 'utf8'), 'first');
  t.ok(fake.attempts.every(({ user }) => user === 'owner'));
  t.equal(vm.grants.size, 0, 'nothing stays open');

  await writeFile(join(dir, 'fails'), 'get nothing-of-that-name\n');
  t.equal((await ada.run('sftp', 'lab', '--', '-b', join(dir, 'fails'))).code, 1);
});

t.test('C6 another host key, another account, no right: refused', async (t) => {
  const { ada, vm, fake } = await started;
  const dir = t.testdir({ batch: 'pwd\n' });
  const sftp = () => ada.run('sftp', 'lab', '--', '-b', join(dir, 'batch'));
  const attempts = fake.attempts.length;
  vm.sftp = { ...fake.access, hostKey: fake.access.hostKey.replace(/.{8}$/, 'AAAAAAAA') };
  const changed = await sftp();
  t.equal(changed.code, 255);
  t.match(changed.io.errors(), /Host key verification failed|HOST IDENTIFICATION HAS CHANGED/);
  t.equal(fake.attempts.length, attempts, 'no sign-in was tried');
  vm.sftp = undefined;
  const none = await sftp();
  t.equal(none.code, 77);
  t.match(none.io.errors(), /right "files"/);
  vm.sftp = fake.access;
  const option = await ada.run('sftp', 'lab', '--', '-o', 'StrictHostKeyChecking=no');
  t.equal(option.code, 64);
});

t.test('C6 sshfs-line: all that another client needs, while it runs; an agent that signs a sign-in only', async (t) => {
  const { ada, vm, fake } = await started;
  vm.sftp = { ...fake.access, upload: false };
  const abort = new AbortController();
  t.teardown(() => abort.abort());
  const { io, ended } = ada.start(abort.signal, 'sshfs-line', 'lab', '--mount', '/mnt/my lab', '--json');
  await until(() => io.output().includes('\n'));
  const shown = JSON.parse(io.output());
  t.match(shown, { vm: 'lab', user: 'owner', upload: false, download: true, hostKey: fake.access.hostKey });
  t.match(shown.line, /^sshfs .* -o reconnect,ro owner@127\.0\.0\.1: '\/mnt\/my lab'$/);
  const folder = dirname(shown.agentSocket);
  t.equal((await stat(folder)).mode & 0o777, 0o700);
  t.equal((await stat(shown.knownHosts)).mode & 0o777, 0o600);

  const env = { SSH_AUTH_SOCK: shown.agentSocket };
  const listed = await run({ file: 'ssh-add', args: ['-l'], env, timeoutMs: 20_000 });
  t.match(listed.stdout, /^256 SHA256:\S+ owner \(ED25519\)\n$/);
  const publicKey = join(folder, 'identity.pub');
  const signed = await run({
    ...{
      file: 'ssh-keygen',
      args: ['-Y', 'sign', '-n', 'file', '-f', publicKey],
      env,
      stdin: 'words',
      timeoutMs: 20_000,
    },
    okExitCodes: [0, 1, 255],
  });
  t.not(signed.exitCode, 0, 'a signature over words of somebody else');
  t.match(signed.stderr, /agent refused/);
  for (const args of [['-D'], ['-d', publicKey], ['-x']])
    t.not(
      (await run({ file: 'ssh-add', args, env, timeoutMs: 20_000, okExitCodes: [0, 1, 2] })).exitCode,
      0,
      args.join(' '),
    );

  const mount = join(t.testdir({ behind: { file: 'through sshfs' } }), 'mount');
  await mkdir(mount);
  const line = shown.line.replace('owner@127.0.0.1:', `owner@127.0.0.1:${dirname(mount)}/behind`);
  const bash = (words: string) => run({ file: 'bash', args: ['-c', words], timeoutMs: 30_000 });
  await bash(line.replace("'/mnt/my lab'", `'${mount}'`));
  try {
    t.equal(await readFile(join(mount, 'file'), 'utf8'), 'through sshfs');
    await t.rejects(writeFile(join(mount, 'new'), ''), { code: 'EROFS' });
    t.match((await bash(shown.rclone.replace(':"', `:${dirname(mount)}/behind"`))).stdout, 'file');
  } finally {
    await bash(`fusermount3 -u '${mount}'`);
  }
  const client = [
    '-F',
    'none',
    '-o',
    'IdentitiesOnly=yes',
    '-o',
    `IdentityFile=${publicKey}`,
    '-o',
    `IdentityAgent=${shown.agentSocket}`,
  ];
  const pinned = ['-o', `UserKnownHostsFile=${shown.knownHosts}`, '-o', 'StrictHostKeyChecking=yes'];
  const target = [`-P${shown.port}`, '-b', '-', 'owner@127.0.0.1'];
  const other = await run({ file: 'sftp', args: [...client, ...pinned, ...target], stdin: 'pwd\n', timeoutMs: 30_000 });
  t.match(other.stdout, 'Remote working directory');

  abort.abort(new VmcError('cancelled', 'Cancelled.'));
  t.equal(await ended, 0);
  t.notOk(existsSync(folder), 'socket and files are gone');
  vm.sftp = fake.access;
});

t.test('C6 sftp is a port of the tunnel too, and listed with what may be done', async (t) => {
  const { ada, fake } = await started;
  t.match((await ada.ok('tunnel', 'lab')).io.output(), 'sftp: read and write, as owner');
  t.match((await ada.ok('tunnel', 'lab', '--json')).json(), { sftp: { port: fake.access.port } });
});
