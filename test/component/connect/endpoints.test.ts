/** B3, B4: `connect endpoint`: what a tunnel has open at the backend, and closing it from elsewhere. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import t from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import type { EndpointInfo } from '../../../shared/rest-api/endpoints.ts';
import { startWorld } from './fake-world.ts';
import { listen } from './tunnel-server.ts';

t.test('B3, B4: listed with streams and bytes, closed by id; the tunnel opens another', async (t) => {
  const world = await startWorld(t);
  const ada = await world.admin('ada');
  const echo = createServer((socket) => void socket.on('error', () => {}).pipe(socket));
  const port = await listen(echo);
  t.teardown(() => echo.close());
  world.tunnelPorts = [{ from: port, to: port }];
  await world.addHost(ada);
  await ada.ok('vm', 'create', 'lab', '--image', 'debian12', '--wait');
  const list = async () => (await ada.ok('endpoint', 'list', '--json')).json<{ endpoints: EndpointInfo[] }>().endpoints;
  t.strictSame(await list(), []);

  const abort = new AbortController();
  const { io, ended } = ada.start(abort.signal, 'tunnel', 'lab', String(port), '--json');
  const stop = () => abort.abort(new VmcError('cancelled', 'Cancelled.'));
  t.teardown(stop);
  while (!io.output().includes('\n')) {
    const code = await Promise.race([ended, new Promise<undefined>((resolve) => setTimeout(resolve, 20, undefined))]);
    if (code !== undefined) throw new Error(`it ended with ${code}: ${io.errors()}`);
  }
  const { localPort } = JSON.parse(io.output().split('\n')[0] ?? '') as { localPort: number };
  const say = async () => {
    const socket = connect(localPort, '127.0.0.1');
    const lines = createInterface({ input: socket.pipe(new PassThrough()) });
    socket.write('hello\n');
    t.equal((await once(lines, 'line'))[0], 'hello');
    return socket;
  };
  const first = await say();
  const [shown, ...others] = await list();
  t.strictSame(others, []);
  t.match(shown, { sourceAddress: '127.0.0.1', port: Number, userId: /^user-/, vmId: /^vm-/ });
  t.ok(shown !== undefined && shown.streams > 0 && shown.bytesIn > 0 && shown.bytesOut > 0);
  const endpointId = shown?.endpointId ?? '';
  t.match((await ada.ok('endpoint', 'list')).io.output(), new RegExp(`^ID .*\\n${endpointId} .*127\\.0\\.0\\.1`));

  const cut = once(first.resume(), 'close').catch(() => {});
  t.equal((await ada.ok('endpoint', 'close', endpointId)).io.output(), `${endpointId} closed\n`);
  await cut;
  const second = await say();
  const now = await list();
  t.equal(now.length, 1);
  t.not(now[0]?.endpointId, endpointId);
  second.destroy();
  stop();
  t.equal(await ended, 0);
  t.strictSame(await list(), [], 'the end of the tunnel closes it');

  t.equal((await ada.run('endpoint', 'close', endpointId)).code, 66);
  t.equal((await ada.run('endpoint', 'close', 'all')).code, 64);
});
