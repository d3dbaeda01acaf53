import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { Endpoints } from '../../../backend/endpoints/endpoints.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { exchange, startPeer } from './endpoint-peers.ts';
import { Fixture, until } from './fixture.ts';

interface Tap {
  teardown(work: () => unknown): void;
}

const limits = {
  address: '127.0.0.1',
  firstPort: 26200,
  lastPort: 26203,
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
  const echo = await startPeer(t);
  const { port } = await endpointsFor(t).open(request(echo.port));
  const bytes = Buffer.from(crypto.getRandomValues(new Uint8Array(65_536)));
  const much = Buffer.concat(Array<Buffer>(128).fill(bytes));
  t.ok((await exchange(port, much)).equals(much));
  await t.rejects(exchange(port, bytes, '127.0.0.2'), { code: 'ECONNRESET' });
});

t.test('B3: streams are bounded, and so are endpoints of a person and ports', async (t) => {
  const echo = await startPeer(t);
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
  const echo = await startPeer(t);
  const endpoints = endpointsFor(t, { idleSeconds: 0.1 });
  const idle = await endpoints.open(request(echo.port));
  t.same(endpoints.find(idle.endpointId)?.vmId, 'vm-1');
  await until(() => endpoints.find(idle.endpointId) === undefined);
  await t.rejects(exchange(idle.port, Buffer.from('x')), { code: 'ECONNREFUSED' });

  const lasting = endpointsFor(t, { firstPort: 26210, lastPort: 26213 });
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
  const echo = await startPeer(t);
  const endpoints = endpointsFor(t, { firstPort: 26220, lastPort: 26223 });
  let target: { host: string; port: number } | undefined = { host: '127.0.0.1', port: 1 };
  const { port } = await endpoints.open({ ...request(0), target: () => target });
  t.equal((await exchange(port, Buffer.from('x')).catch(() => Buffer.alloc(0))).length, 0, 'nobody listens');
  target = undefined;
  await t.rejects(exchange(port, Buffer.from('x')), { code: 'ECONNRESET' }, 'nowhere to go');
  target = { host: '127.0.0.1', port: echo.port };
  t.equal((await exchange(port, Buffer.from('x'))).toString(), 'x');
});

t.test('B3: through rest: pinned to the caller, closed by hand and at sign-out', async (t) => {
  const echo = await startPeer(t);
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

t.test('B3: small messages by turns do not wait for acknowledgements, as the start of TLS is', async (t) => {
  const peer = await startPeer(t, (socket) => {
    let heard = 0;
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.length;
      if (heard % 2 !== 0) return;
      socket.write('a');
      setImmediate(() => socket.write('b'));
    });
  });
  const { port } = await endpointsFor(t, { firstPort: 26230, lastPort: 26233 }).open(request(peer.port));
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  t.teardown(() => socket.destroy());
  const times: number[] = [];
  for (let round = 0; round < 41; round++) {
    const started = performance.now();
    socket.write('1');
    setImmediate(() => socket.write('2'));
    for (let got = 0; got < 2; ) got += ((await once(socket, 'data')) as [Buffer])[0].length;
    times.push(performance.now() - started);
  }
  const median = times.sort((a, b) => a - b)[20] ?? 0;
  // A delayed acknowledgement takes 40 ms, once in each direction.
  t.ok(median < 30, `${median} ms`);
});

t.test('B3: what the far side is sent before it has accepted arrives first', async (t) => {
  const echo = await startPeer(t);
  const { port } = await endpointsFor(t, { firstPort: 26240, lastPort: 26243 }).open(request(echo.port));
  const early = Buffer.alloc(300_000, 'early');
  t.ok((await exchange(port, early)).equals(early));
});

t.test(
  'B3: much data in pieces of all sizes to readers that stop and go on arrives as it was, on several streams',
  async (t) => {
    const wanted = createHash('sha256').update(pieces().join('')).digest('hex');
    const peer = await startPeer(t, (socket) => {
      const left = pieces();
      const next = () => {
        for (let piece = left.shift(); piece !== undefined; piece = left.shift())
          if (!socket.write(piece)) return void socket.once('drain', next);
        socket.end();
      };
      next();
    });
    const { port } = await endpointsFor(t, { firstPort: 26250, lastPort: 26253, streams: 6 }).open(request(peer.port));
    const read = async (slow: number): Promise<string> => {
      const hash = createHash('sha256');
      const socket = connect({ port, host: '127.0.0.1' });
      let chunks = 0;
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        hash.update(chunk);
        // So long that all buffers on the way fill up.
        if (++chunks % slow === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      }
      return hash.digest('hex');
    };
    t.strictSame(await Promise.all([3, 7, 20, 50, 200, 1000].map(read)), Array<string>(6).fill(wanted));
  },
);

/** 12 MB in 600 pieces, all different. */
function pieces(): string[] {
  return Array.from({ length: 600 }, (_, i) => `${i}.`.repeat([1, 700, 40_000, 9_000][i % 4] ?? 1));
}

t.test('B3: a cut on the far side is a cut on the near side, not an end', async (t) => {
  const peer = await startPeer(t, (socket) => {
    socket.once('data', () => socket.write('half of it', () => socket.resetAndDestroy()));
  });
  const { port } = await endpointsFor(t).open(request(peer.port));
  await t.rejects(exchange(port, Buffer.from('give')), { code: 'ECONNRESET' });
});
