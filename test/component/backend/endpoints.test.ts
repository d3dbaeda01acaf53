import { connect, createServer, type Server, type Socket } from 'node:net';
import t from 'tap';
import { Endpoints } from '../../../backend/endpoints/endpoints.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { Fixture, until } from './fixture.ts';

interface Tap {
  teardown(work: () => unknown): void;
}

async function echoServer(t: Tap): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 };
}

/** Sends and half-closes; resolves with all that came back, rejects when it was cut. */
function exchange(port: number, bytes: Uint8Array, localAddress = '127.0.0.1'): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect({ host: '127.0.0.1', port, localAddress, allowHalfOpen: true });
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.end(bytes);
  });
}

const limits = {
  address: '127.0.0.1',
  firstPort: 36200,
  lastPort: 36203,
  idleSeconds: 600,
  perUser: 3,
  streams: 2,
};
const request = (port: number) => ({
  userId: 'user-1',
  sessionId: 'session-1',
  vmId: 'vm-1',
  sourceAddress: '127.0.0.1',
  expiresAt: Date.now() + 60_000,
  target: () => ({ host: '127.0.0.1', port }),
});

function endpointsFor(t: Tap, changes: Partial<typeof limits> = {}): Endpoints {
  const endpoints = new Endpoints({ ...limits, ...changes }, Date.now);
  t.teardown(() => endpoints.closeAll());
  return endpoints;
}

t.test('B3: only the pinned address gets through; half-close and 8 MiB survive', async (t) => {
  const echo = await echoServer(t);
  const { port } = await endpointsFor(t).open(request(echo.port));
  const bytes = Buffer.from(crypto.getRandomValues(new Uint8Array(65_536)));
  const much = Buffer.concat(Array<Buffer>(128).fill(bytes));
  t.ok((await exchange(port, much)).equals(much));
  await t.rejects(exchange(port, bytes, '127.0.0.2'), { code: 'ECONNRESET' });
});

t.test('B3: streams are bounded, and so are endpoints of a person and ports', async (t) => {
  const echo = await echoServer(t);
  const endpoints = endpointsFor(t);
  const { port, endpointId } = await endpoints.open(request(echo.port));
  const held: Socket[] = [];
  for (let i = 0; i < 2; i++) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    held.push(socket);
    await new Promise((resolve) => {
      socket.once('data', resolve);
      socket.write('x');
    });
  }
  await t.rejects(exchange(port, Buffer.from('x')), { code: 'ECONNRESET' }, 'a third stream');
  const cut = Promise.all(held.map((socket) => new Promise((resolve) => socket.once('close', resolve))));
  await endpoints.close(endpointId);
  await cut;
  for (let i = 0; i < 3; i++) await endpoints.open(request(echo.port));
  await t.rejects(endpoints.open(request(echo.port)), { code: 'limit', message: /3 endpoints/ });
  await endpoints.open({ ...request(echo.port), userId: 'user-2' });
  await t.rejects(endpoints.open({ ...request(echo.port), userId: 'user-2' }), { code: 'limit', message: /All ports/ });
});

t.test('B3: closes when unused, at the end of the session, and with its VM', async (t) => {
  const echo = await echoServer(t);
  const endpoints = endpointsFor(t, { idleSeconds: 0.1 });
  const idle = await endpoints.open(request(echo.port));
  t.same(endpoints.find(idle.endpointId)?.vmId, 'vm-1');
  await until(() => endpoints.find(idle.endpointId) === undefined);
  await t.rejects(exchange(idle.port, Buffer.from('x')), { code: 'ECONNREFUSED' });

  const lasting = endpointsFor(t, { firstPort: 36210, lastPort: 36213 });
  const ending = await lasting.open({ ...request(echo.port), expiresAt: Date.now() + 100 });
  await until(() => lasting.find(ending.endpointId) === undefined);
  const one = await lasting.open({ ...request(echo.port), sessionId: 'session-2' });
  const two = await lasting.open({ ...request(echo.port), vmId: 'vm-2' });
  await lasting.closeOfSession('session-2');
  t.equal(lasting.find(one.endpointId), undefined);
  t.ok(lasting.find(two.endpointId));
  await lasting.closeOfVm('vm-2');
  t.equal(lasting.find(two.endpointId), undefined);
});

t.test('a VM that is away: the stream is cut, the endpoint stays', async (t) => {
  const echo = await echoServer(t);
  const endpoints = endpointsFor(t, { firstPort: 36220, lastPort: 36223 });
  let target: { host: string; port: number } | undefined = { host: '127.0.0.1', port: 1 };
  const { port } = await endpoints.open({ ...request(0), target: () => target });
  t.equal((await exchange(port, Buffer.from('x')).catch(() => Buffer.alloc(0))).length, 0, 'nobody listens');
  target = undefined;
  await t.rejects(exchange(port, Buffer.from('x')), { code: 'ECONNRESET' }, 'nowhere to go');
  target = { host: '127.0.0.1', port: echo.port };
  t.equal((await exchange(port, Buffer.from('x'))).toString(), 'x');
});

t.test('B3: through rest: pinned to the caller, closed by hand and at sign-out', async (t) => {
  const echo = await echoServer(t);
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const { agent } = await fixture.host(alice);
  agent.hostPort = echo.port;
  const vmId = await fixture.vm(alice, 'work');
  const open = () => alice.client.call(routes.endpointOpen, { params: { vmId }, body: {} });
  const first = await open();
  t.equal(first.sourceAddress, '127.0.0.1');
  t.equal((await exchange(first.port, Buffer.from('hello'))).toString(), 'hello');
  const bob = await fixture.invited(alice, 'bob');
  const { endpointId } = first;
  const close = (who: typeof alice) => who.client.call(routes.endpointClose, { params: { endpointId }, body: {} });
  await t.rejects(close(bob), { code: 'not-found' });
  await close(alice);
  await t.rejects(close(alice), { code: 'not-found' });
  const second = await open();
  await alice.client.signOut();
  await t.rejects(exchange(second.port, Buffer.from('x')), { code: 'ECONNREFUSED' });
  await alice.client.signIn(alice.identity);
  await alice.client.call(routes.vmShutdown, { params: { vmId }, body: {} });
  await t.rejects(open(), { code: 'wrong-state', message: /off/ });
});

t.test('B3: a cut on the far side is a cut on the near side, not an end', async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.write('half of it', () => socket.resetAndDestroy()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  const { port } = await endpointsFor(t).open(
    request(typeof address === 'object' && address !== null ? address.port : 0),
  );
  await t.rejects(exchange(port, Buffer.from('give')), { code: 'ECONNRESET' });
});
