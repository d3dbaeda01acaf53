/** What must hold in a real VM, on a real host, when people do what they should not, or things break. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ADDRESSES, inNamespace } from '../../lab/namespaces.ts';
import { makeCertificate } from '../../shared/net/certificate.ts';
import { run } from '../../shared/run.ts';
import { startVmSite, VM } from './support/vm-site.ts';

t.setTimeout(1_200_000);
const { site, owner, vmId, vm, call, end } = await startVmSite();
t.teardown(end);

const json = async <T>(reply: Promise<Buffer>) => JSON.parse((await reply).toString()) as T;
const reach = async (host: string, port: number) =>
  (await json<{ reached: boolean }>(vm.request('GET', `/reach?host=${host}&port=${port}`))).reached;
const sha256 = async (path: string) => {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
};
const drive = async (name: string, ...options: string[]) =>
  (await owner.connect<{ driveId: string }>(['drive', 'create', name, '--size', '64MiB', ...options])).driveId;

t.test('C7: a drive that holds data is not formatted, and nothing on it changes', async (t) => {
  const driveId = await drive('full', '--format', 'raw');
  const file = join(site.folders.drives, `${driveId}.raw`);
  await run({ file: 'mke2fs', args: ['-q', '-t', 'ext4', '-L', 'precious', file], timeoutMs: 20_000 });
  const before = await sha256(file);
  await owner.connect(['drive', 'attach', 'full', VM]);
  await t.rejects(owner.connect(['drive', 'format', 'full']), { code: 'not-blank', message: /ext4/, hint: /drv/ });
  t.equal(await sha256(file), before, 'byte for byte');
  t.match(await owner.connect(['drive', 'format', 'full', '--overwrite', driveId]), { state: 'locked' });
  await t.rejects(
    owner.connect(['drive', 'delete', 'full', '--confirm', driveId]),
    { code: /busy|wrong-state/ },
    'an attached drive is not deleted',
  );
  await owner.connect(['drive', 'detach', 'full']);
  await owner.connect(['drive', 'delete', 'full', '--confirm', driveId]);
});

t.test(
  'C7: a key that does not fit opens nothing and harms nothing; xfs on raw works like ext4 on qcow2',
  async (t) => {
    const driveId = (
      await owner.connect<{ driveId: string }>(['drive', 'create', 'data', '--size', '512MiB', '--format', 'raw'])
    ).driveId;
    await owner.connect(['drive', 'attach', 'data', VM]);
    await owner.connect(['drive', 'format', 'data', '--fs', 'xfs']);
    const wrong = { driveId, key: Buffer.alloc(32, 7).toString('base64'), name: 'data' };
    await t.rejects(call(owner, { kind: 'control', name: 'driveOpen', vmId, params: wrong, body: {} }), {
      code: 'wrong-key',
      hint: /./,
    });
    t.match(await owner.connect(['drive', 'open', 'data']), { state: 'mounted', mountPoint: '/mnt/data' });
    await vm.request('PUT', '/file?path=/mnt/data/kept', Buffer.from('kept'));
    await t.rejects(
      owner.connect(['drive', 'format', 'data', '--overwrite', driveId]),
      { code: /busy|wrong-state/ },
      'a drive in use is never formatted',
    );
  },
);

t.test('H3: a drive that is attached is not attached again', async (t) => {
  await t.rejects(owner.connect(['drive', 'attach', 'data', VM]), { code: 'busy', message: /attached/ });
  const { driveId } = await owner.connect<{ driveId: string }>(['drive', 'show', 'data']);
  await t.rejects(site.hostAgent(['drive', 'delete', driveId, '--confirm', driveId]), /attached/);
});

t.test('C3, B2: a second person without rights sees and reaches nothing', async (t) => {
  const { code } = await owner.connect<{ code: string }>(['user', 'invite']);
  const other = site.person('bo');
  await other.connect(['keygen']);
  await other.connect(
    ['claim', '--backend', site.backendUrlForUser, '--pin', site.pin, '--name', 'bo', '--code-fd', '4'],
    { descriptors: { 4: Buffer.from(code) } },
  );
  t.match(await other.connect(['vm', 'list']), { vms: [] });
  t.match(await other.connect(['drive', 'list']), { drives: [] });
  await t.rejects(other.connect(['vm', 'info', vmId]), { code: 'not-found' });
  await t.rejects(
    call(other, { kind: 'relay', vmId, name: '', params: {}, body: {} }),
    { code: /forbidden|unreachable|not-found/ },
    'the relay does not pair them',
  );
  await t.rejects(call(other, { kind: 'rest', name: 'endpointOpen', params: { vmId }, body: {} }), {
    code: 'not-found',
  });
  await t.rejects(
    other.connect(
      ['claim', '--backend', site.backendUrlForUser, '--pin', site.pin, '--name', 'bo2', '--code-fd', '4'],
      { descriptors: { 4: Buffer.from(code) } },
    ),
    { code: /./ },
    'a code works once',
  );
});

t.test('C5, B3: an unknown certificate gets no byte of HTTP; an endpoint serves one address', async (t) => {
  const { port } = await call<{ port: number }>(owner, {
    kind: 'rest',
    name: 'endpointOpen',
    params: { vmId },
    body: {},
  });
  const { certificatePem, privateKeyPem } = makeCertificate('stranger', 'clientAuth', 1, new Date());
  const folder = site.folders.user;
  await writeFile(join(folder, 'stranger.pem'), certificatePem + privateKeyPem, { mode: 0o600 });
  const dial = (namespace: string, address: string) => {
    const [file, ...args] = inNamespace(namespace, 'openssl', [
      's_client',
      '-quiet',
      '-tls1_3',
      '-connect',
      `${address}:${port}`,
      '-cert',
      join(folder, 'stranger.pem'),
      '-verify_quiet',
    ]);
    return run({
      file,
      args,
      stdin: 'CONNECT localhost:8080 HTTP/1.1\r\nHost: localhost:8080\r\n\r\n',
      timeoutMs: 20_000,
      okExitCodes: [0, 1],
    });
  };
  const stranger = await dial(site.network.user, ADDRESSES.backendForUser);
  t.notMatch(stranger.stdout, /HTTP/);
  const elsewhere = await dial(site.network.backend, ADDRESSES.backendForUser);
  t.notMatch(elsewhere.stdout, /HTTP/);
  t.notMatch(elsewhere.stderr, /depth=/, 'from another address not even TLS begins');
});

t.test(
  'H4, H5: the VM reaches the backend and nothing else, also after root in it has flushed its own firewall',
  async (t) => {
    const check = async (t: { equal(found: unknown, wanted: unknown, name: string): void }) => {
      t.equal(await reach(ADDRESSES.backendForVmhost, 8443), true, 'the backend');
      t.equal(await reach(ADDRESSES.backendForVmhost, 6000), false, 'another port of the backend');
      t.equal(await reach(ADDRESSES.user, 22), false, "a user's device");
      t.equal(await reach(ADDRESSES.vmhost, 20000), false, 'a forwarded port of its own host');
      t.equal(await reach('10.92.0.1', 53), true, 'DNS of its host');
      t.equal(await reach('10.92.0.1', 22), false, 'another port of its host');
    };
    await check(t);
    t.equal((await json<{ status: number }>(vm.request('POST', '/flush-firewall'))).status, 0);
    await check(t);
  },
);

t.test(
  'C1, C4: vmc is killed: systemd starts it again, it parks, its firewall is back, the drive stays mounted',
  async (t) => {
    const before = await owner.connect<{ startedAt: number; fingerprint: string }>(['vm', 'info', VM]);
    await vm.request('POST', '/kill-vmc').catch(() => {}); // it carries this very stream
    const deadline = performance.now() + 90_000;
    let after = before;
    while (after.startedAt === before.startedAt && performance.now() < deadline)
      after = await owner.connect<typeof before>(['vm', 'info', VM]).catch(() => before);
    t.not(after.startedAt, before.startedAt, 'a new process answers');
    t.equal(after.fingerprint, before.fingerprint, 'with the same identity');
    t.equal(
      (await vm.request('GET', '/file?path=/mnt/data/kept')).toString(),
      'kept',
      'the same local port works on, and the drive is mounted',
    );
    t.match(await owner.connect(['drive', 'close', 'data']), { state: 'locked' });
    t.match(await owner.connect(['drive', 'open', 'data']), { state: 'mounted' });
  },
);
