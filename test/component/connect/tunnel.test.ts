/** C5, B3: `connect tunnel` as a whole: grant, endpoint of the real backend, vmc's tunnel server, local ports. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import { until } from '../backend/fixture.ts';
import type { FakeVm } from './fake-vm.ts';
import { type Person, startWorld, type World } from './fake-world.ts';
import { listen } from './tunnel-server.ts';

async function startEcho(t: Test): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return listen(server);
}

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
