/** C5, B3: `connect tunnel` as a whole: grant, endpoint of the real backend, vmc's tunnel server, local ports. */
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import { certificateSha256 } from '../../../shared/net/pins.ts';
import { run } from '../../../shared/run.ts';
import { until } from '../backend/fixture.ts';
import type { FakeVm } from './fake-vm.ts';
import { type Person, startWorld, type World } from './fake-world.ts';
import { listen, startEcho } from './tunnel-server.ts';

/** One for all tests of this file. */
const started = ready();

async function ready(): Promise<{ world: World; ada: Person; vm: FakeVm; port: number }> {
  const world = await startWorld(t);
  const ada = await world.admin('ada');
  const port = await startEcho(t);
  world.tunnelPorts = [{ from: port, to: port }];
  await world.addHost(ada);
  await ada.ok('vm', 'create', 'lab', '--image', 'debian12', '--wait');
  return { world, ada, vm: world.vms.get('lab') as FakeVm, port };
}

async function say(port: number, words: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let heard = '';
  socket.on('data', (chunk) => {
    heard += chunk.toString();
  });
  socket.on('error', () => {});
  socket.end(words);
  await once(socket, 'close');
  return heard;
}

/** Starts a tunnel and resolves once it has said where it listens. */
async function startTunnel(t: Test, ada: Person, port: number) {
  const abort = new AbortController();
  const { io, ended } = ada.start(abort.signal, 'tunnel', 'lab', String(port), '--json');
  t.teardown(() => abort.abort());
  while (!io.output().includes('\n')) {
    const code = await Promise.race([ended, new Promise<undefined>((resolve) => setTimeout(resolve, 20, undefined))]);
    if (code !== undefined) throw new Error(`it ended with ${code}: ${io.errors()}`);
  }
  const stop = () => {
    abort.abort(new VmcError('cancelled', 'Cancelled.'));
    return ended;
  };
  return { localPort: JSON.parse(io.output()).localPort as number, io, stop };
}

t.test('C5 a port of the VM on 127.0.0.1, until Ctrl-C; then grant and endpoint are gone', async (t) => {
  const { ada, vm, port } = await started;
  const tunnel = await startTunnel(t, ada, port);
  t.match(JSON.parse(tunnel.io.output()), { vm: 'lab', port, local: `127.0.0.1:${tunnel.localPort}` });
  t.equal(await say(tunnel.localPort, 'through'), 'through');
  t.equal(vm.grants.size, 1);
  const { grants } = (await ada.ok('vm', 'tunnels', 'lab', '--json')).json<{ grants: unknown[] }>();
  t.match(grants, [{ ports: [{ from: port, to: port }], streamsTotal: 1, bytesIn: 7, bytesOut: 7 }]);
  t.match((await ada.ok('vm', 'tunnels', 'lab')).io.output(), new RegExp(`${port} +\\d of 1 +7 B +7 B`));

  // The VM forgets the grant: a new one is made as soon as that shows.
  vm.grants.closeAll();
  t.equal(vm.grants.size, 0);
  await until(() => vm.grants.size === 1);
  t.equal(await say(tunnel.localPort, 'again'), 'again');
  t.equal(vm.grants.size, 1);

  t.equal(await tunnel.stop(), 0);
  t.equal(vm.grants.size, 0);
  t.equal(tunnel.io.errors().replace(/First contact.*takes no other\.\n/s, ''), '');
  const refused = connect({ port: tunnel.localPort, host: '127.0.0.1' });
  await t.rejects(once(refused, 'connect'), { code: 'ECONNREFUSED' });
});

t.test('C5 ports: listed without arguments, refused when not listed, taken ones named', async (t) => {
  const { ada, vm, port } = await started;
  t.equal((await ada.ok('tunnel', 'lab')).io.output(), `${port}\n`);
  t.strictSame((await ada.ok('tunnel', 'lab', '--json')).json(), { vm: 'lab', ports: [{ from: port, to: port }] });
  const refused = await ada.run('tunnel', 'lab', '1');
  t.equal(refused.code, 77);
  t.match(refused.io.errors(), `It allows: ${port}.`);
  const taken = await ada.run('tunnel', 'lab', `${port}:${port}`);
  t.equal(taken.code, 71);
  t.equal((await ada.run('tunnel', 'lab', 'http')).code, 64);
  t.equal(vm.grants.size, 0, 'none of these leaves a grant');
});

t.test('C5 --certificate lets curl and openssl in, by a certificate whose key connect never sees', async (t) => {
  const { ada, vm } = await started;
  const web = createHttpServer((_request, answer) => answer.end('hello from the VM'));
  t.teardown(() => web.close());
  const webPort = await listen(web);
  vm.sftp = { port: webPort, user: 'owner', hostKey: 'ssh-ed25519 AAAA', upload: true, download: true };
  t.teardown(() => {
    vm.sftp = undefined;
  });
  const cwd = t.testdir({ empty: 'no certificate' });
  const openssl = (...args: string[]) => run({ file: 'openssl', args, cwd, timeoutMs: 30_000, okExitCodes: [0, 1] });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'client.key'];
  await openssl('req', '-x509', ...key, '-days', '30', '-subj', '/CN=device', '-out', 'client.pem');
  t.equal((await ada.run('tunnel', 'lab', '--certificate', join(cwd, 'empty'))).code, 65);
  t.equal((await ada.run('tunnel', 'lab', '--certificate', join(cwd, 'none'))).code, 66);
  t.equal((await ada.run('tunnel', 'lab', '80', '--certificate', join(cwd, 'client.pem'))).code, 64);

  const abort = new AbortController();
  t.teardown(() => abort.abort());
  const { io, ended } = ada.start(abort.signal, 'tunnel', 'lab', '--certificate', join(cwd, 'client.pem'), '--json');
  await until(() => io.output().includes('\n'));
  const { host, port, serverCertificateSha256 } = JSON.parse(io.output());
  const pair = ['-tls1_3', '-cert', 'client.pem', '-key', 'client.key'];
  const shown = await openssl('s_client', '-connect', `${host}:${port}`, ...pair);
  const server = /-----BEGIN CERTIFICATE-----[\s\S]*-----END CERTIFICATE-----\n/.exec(shown.stdout)?.[0] ?? '';
  t.equal(certificateSha256(server), serverCertificateSha256);
  await writeFile(join(cwd, 'server.pem'), server);
  const proxy = ['--proxytunnel', '--proxy', `https://vmc:${port}`, '--resolve', `vmc:${port}:${host}`];
  const by = ['--proxy-cacert', 'server.pem', '--proxy-cert', 'client.pem', '--proxy-key', 'client.key'];
  const got = await run({
    file: 'curl',
    args: ['--silent', ...proxy, ...by, `http://localhost:${webPort}/`],
    ...{ cwd, timeoutMs: 30_000 },
  });
  t.equal(got.stdout, 'hello from the VM');
  abort.abort(new VmcError('cancelled', 'Cancelled.'));
  t.equal(await ended, 0);
  t.equal(vm.grants.size, 0);
});

t.test('B4 --rdp writes a file for the local port, and replaces none unasked', async (t) => {
  const { ada, vm } = await started;
  const path = join(t.testdir({}), 'desktop.rdp');
  t.equal((await ada.run('tunnel', 'lab', '--rdp', path)).code, 77, '3389 is not allowed there');
  const { ports } = vm;
  ports.push({ from: 3389, to: 3389 });
  const write = async (...more: string[]) => {
    const abort = new AbortController();
    const { io, ended } = ada.start(abort.signal, 'tunnel', 'lab', '--rdp', path, '--json', ...more);
    await until(() => io.errors().includes('.rdp'));
    abort.abort(new VmcError('cancelled', 'Cancelled.'));
    return { code: await ended, io };
  };
  const first = await write();
  t.equal(first.code, 0);
  const { localPort } = JSON.parse(first.io.output());
  t.match(await readFile(path, 'utf8'), `full address:s:127.0.0.1:${localPort}\r\n`);
  t.equal((await stat(path)).mode & 0o777, 0o600);
  const second = await write();
  t.equal(second.code, 73);
  t.match(second.io.errors(), '--force');
  t.equal((await write('--force')).code, 0);
  ports.pop();
});
