/** C5, B4: streams over connections that were made ahead, and over ways that break: with faults that a test can order. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { PassThrough } from 'node:stream';
import t, { type Test } from 'tap';
import type { TunnelPath } from '../../../connect/tunnel/connection.ts';
import { type PathSource, type PoolOptions, type PoolPath, StreamPool } from '../../../connect/tunnel/stream-pool.ts';
import { until } from '../backend/fixture.ts';
import { clientCertificate, listen, startEcho, startTls, startVmTunnel } from './tunnel-server.ts';

const never = new AbortController().signal;
const OPEN = 'HTTP/1.1 200 Connected\r\n\r\n';

interface Source extends PathSource<PoolPath> {
  path: PoolPath;
  renewed: boolean[];
}

/** A source whose path a test sets; `renew` says what `next` gives. */
function sourceOf(path: TunnelPath, connections = 4, seconds = 60): Source {
  const source: Source = {
    path: { ...path, ready: { connections, seconds } },
    renewed: [],
    get: async () => source.path,
    renew: async (_failed, endpointToo) => {
      source.renewed.push(endpointToo);
      return source.path;
    },
  };
  return source;
}

function poolOf(t: Test, source: Source, options: PoolOptions = {}): StreamPool {
  const pool = new StreamPool(source, options);
  t.teardown(() => pool.close());
  return pool;
}

function early(words: string): PassThrough {
  const source = new PassThrough();
  source.write(words);
  return source;
}

t.test('connections wait ahead of streams, are used, and are replaced', async (t) => {
  const port = await startEcho(t);
  const { path } = await startVmTunnel(t, [{ from: port, to: port }]);
  const pool = poolOf(t, sourceOf(path, 3));
  pool.warm();
  await until(() => pool.ready === 3);
  for (let i = 0; i < 5; i++) {
    const { stream, cut } = await pool.open(port, never, early(`stream ${i}`));
    const [heard] = await once(stream.resume(), 'data');
    t.equal(String(heard), `stream ${i}`);
    cut();
  }
  await until(() => pool.ready === 3);
  pool.close();
  t.equal(pool.ready, 0);
});

t.test('none wait when the VM allows none, nor when no stream was opened for long', async (t) => {
  const port = await startEcho(t);
  const { path } = await startVmTunnel(t, [{ from: port, to: port }]);
  const none = poolOf(t, sourceOf(path, 0));
  (await none.open(port, never)).cut();
  const idle = poolOf(t, sourceOf(path, 4, 2), { activeMs: 1000 });
  idle.warm();
  await until(() => idle.ready === 4);
  await until(() => idle.ready === 0);
  await new Promise((resolve) => setTimeout(resolve, 400));
  t.equal(idle.ready, 0, 'they were not replaced');
  t.equal(none.ready, 0);
});

t.test('the first bytes go out right behind the request, before its answer', async (t) => {
  const path = await startTls(t, (socket) => {
    let heard = '';
    socket.on('data', (chunk) => {
      heard += chunk.toString();
      if (heard.endsWith('first words')) socket.write(`${OPEN}heard`);
    });
  });
  const { stream, cut } = await poolOf(t, sourceOf(path)).open(80, never, early('first words'));
  t.equal(String((await once(stream.resume(), 'data'))[0]), 'heard');
  cut();
});

t.test('one that died while it waited is not used', async (t) => {
  const waiting: { destroy(): void }[] = [];
  const path = await startTls(t, (socket) => {
    waiting.push(socket);
    socket.on('data', () => socket.write(OPEN));
  });
  const pool = poolOf(t, sourceOf(path, 2));
  pool.warm();
  await until(() => pool.ready === 2);
  for (const socket of waiting.splice(0)) socket.destroy();
  (await pool.open(80, never, early('once'))).cut();
  t.pass('another one was');
});

t.test(
  'what was sent is not sent twice: a connection that dies then is an error, without bytes it is another try',
  async (t) => {
    let requests = 0;
    const path = await startTls(t, (socket) => {
      socket.on('data', () => {
        requests++;
        if (requests <= 2) socket.destroy();
        else socket.write(OPEN);
      });
    });
    const pool = poolOf(t, sourceOf(path, 0));
    await t.rejects(pool.open(80, never, early('order')), { name: 'StreamLost', code: 'channel-closed' });
    t.equal(requests, 1);
    (await pool.open(80, never)).cut();
    t.equal(requests, 3);
  },
);

t.test('a broken way: streams wait, a new endpoint is asked for, and they go through', async (t) => {
  const port = await startEcho(t);
  const { path } = await startVmTunnel(t, [{ from: port, to: port }]);
  const gone = createServer();
  const deadPort = await listen(gone);
  gone.close();
  const source = sourceOf({ ...path, port: deadPort });
  const states: string[] = [];
  const pool = poolOf(t, source, { onState: (state) => states.push(state) });
  const waiting = Promise.all([pool.open(port, never), pool.open(port, never)]);
  await until(() => source.renewed.length > 2);
  t.ok(source.renewed.every(Boolean), 'not even TCP got through');
  source.path = { ...path, ready: { connections: 4, seconds: 60 } };
  for (const { cut } of await waiting) cut();
  t.equal(states[0], 'reconnecting');
  t.equal(states.at(-1), 'connected');
});

t.test('waiting is bounded: in time, in number; it ends with the local side and with the pool', async (t) => {
  const gone = createServer();
  const port = await listen(gone);
  gone.close();
  const path = { host: '127.0.0.1', port, certificate: clientCertificate, serverCertificateSha256: 'ab'.repeat(32) };
  await t.rejects(poolOf(t, sourceOf(path), { waitMs: 200 }).open(80, never), { code: 'unreachable' });
  const pool = poolOf(t, sourceOf(path));
  const local = new AbortController();
  const results = Promise.allSettled(Array.from({ length: 70 }, () => pool.open(80, local.signal)));
  local.abort();
  const codes = (await results).map((result) => (result.status === 'rejected' ? result.reason.code : 'opened'));
  t.strictSame(new Set(codes), new Set(['cancelled', 'limit']).intersection(new Set(codes)));
  const last = pool.open(80, never);
  pool.close();
  await t.rejects(last, { code: 'cancelled' });
});

t.test('C5 another certificate than the pinned one is given up after three paths, also after a good one', async (t) => {
  let heard = 0;
  const path = await startTls(t, (socket) => socket.on('data', () => ++heard && socket.write(OPEN)));
  const source = sourceOf(path, 0);
  const pool = poolOf(t, source);
  (await pool.open(80, never)).cut();
  (await pool.open(80, never)).cut(); // by a ticket
  t.equal(heard, 2);
  source.path = { ...source.path, serverCertificateSha256: 'ab'.repeat(32) };
  await t.rejects(pool.open(80, never), { code: 'identity-changed' });
  t.strictSame(source.renewed, [false, false]);
  t.equal(heard, 2, 'not a byte went there, and no ticket of another pin helped');
});
