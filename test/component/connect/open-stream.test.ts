/** C5, C16: one stream through the tunnel, against vmc's own server and against ones that misbehave. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { type LocalPort, listenLocally } from '../../../connect/tunnel/local-port.ts';
import { openStream, StreamRefused, type TunnelPath } from '../../../connect/tunnel/open-stream.ts';
import { makeCertificate } from '../../../shared/net/certificate.ts';
import { listen, now, startTls, startVmTunnel } from './tunnel-server.ts';

const never = new AbortController().signal;
const open = (path: TunnelPath, port: number) => openStream(path, port, never);

/** Unlike events.once: an error before it is fine. */
const closed = (stream: Duplex) => new Promise<void>((resolve) => stream.once('close', () => resolve()));

/** A service in the VM that sends back everything once the other side has ended: only half-close lets it work. */
async function startMirror(t: Test, serve = mirror): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  const port = await listen(server);
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return port;
}
/** Not stream/consumers: that destroys the socket once it has read all. */
function mirror(socket: Socket): void {
  const all: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => all.push(chunk));
  socket.on('end', () => socket.end(Buffer.concat(all)));
}

async function forward(t: Test, path: TunnelPath, vmPort: number, problems: unknown[] = []): Promise<LocalPort> {
  const local = await listenLocally({
    port: 0,
    open: (signal) => openStream(path, vmPort, signal),
    onProblem: (error) => problems.push(error),
  });
  t.teardown(() => local.close());
  return local;
}

t.test('C5 bytes go through unchanged, and half-close is kept', async (t) => {
  const port = await startMirror(t);
  const { path } = await startVmTunnel(t, [{ from: port, to: port }]);
  const local = await forward(t, path, port);
  const data = randomBytes(8 * 1024 * 1024);
  const socket = connect({ port: local.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.end(data);
  const hash = createHash('sha256').update(await buffer(socket));
  t.equal(hash.digest('hex'), createHash('sha256').update(data).digest('hex'));
});

t.test('C5 many connections at once keep their own bytes', async (t) => {
  const port = await startMirror(t);
  const { path } = await startVmTunnel(t, [{ from: port, to: port }]);
  const local = await forward(t, path, port);
  await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const socket = connect({ port: local.port, host: '127.0.0.1', allowHalfOpen: true });
      socket.end(`connection ${i}`);
      t.equal((await buffer(socket)).toString(), `connection ${i}`);
    }),
  );
});

t.test('what the service says first, together with the answer to CONNECT, is not lost', async (t) => {
  const path = await startTls(t, (socket) => {
    socket.once('data', () => socket.end('HTTP/1.1 200 Connected\r\n\r\nSSH-2.0-first'));
  });
  const { stream } = await open(path, 22);
  stream.end();
  t.equal((await buffer(stream)).toString(), 'SSH-2.0-first');
});

t.test('back-pressure: a reader that stops stops the sender', async (t) => {
  let written = 0;
  const port = await startMirror(t, (socket) => {
    const chunk = Buffer.alloc(64 * 1024);
    const more = () => {
      while (!socket.destroyed && written < 256 * 1024 * 1024) {
        written += chunk.length;
        if (!socket.write(chunk)) return void socket.once('drain', more);
      }
    };
    more();
  });
  const { path } = await startVmTunnel(t, [{ from: port, to: port }]);
  const local = await forward(t, path, port);
  const socket = connect({ port: local.port, host: '127.0.0.1' });
  await once(socket, 'readable'); // and nobody reads
  let before = -1;
  while (before !== written) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  t.ok(written < 64 * 1024 * 1024, `${written} bytes were taken`);
  socket.destroy();
});

t.test('a cut goes on as a cut, in both directions', async (t) => {
  const services: Socket[] = [];
  const port = await startMirror(t, (socket) => {
    socket.on('data', (chunk) => socket.write(chunk));
    socket.on('end', () => socket.end());
    services.push(socket);
  });
  const { path } = await startVmTunnel(t, [{ from: port, to: port }]);
  const local = await forward(t, path, port);
  const dial = async () => {
    const socket = connect({ port: local.port, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.write('x');
    await once(socket, 'data');
    return { socket, service: services.at(-1) as Socket };
  };
  const cutHere = await dial();
  const seenThere = closed(cutHere.service);
  cutHere.socket.resetAndDestroy();
  await seenThere;
  const cutThere = await dial();
  const seenHere = closed(cutThere.socket);
  cutThere.service.resetAndDestroy();
  await seenHere;
  t.pass('both were seen');
});

t.test('C5 a port that is not allowed is 403 with the reason, one that nobody serves 502', async (t) => {
  const closed = await startMirror(t);
  const { path } = await startVmTunnel(t, [{ from: 1, to: 1 }]);
  const error = await open(path, closed).catch((error: unknown) => error);
  t.ok(error instanceof StreamRefused);
  t.match(error, { code: 'forbidden', status: 403, message: new RegExp(`port ${closed} \\(403\\): .+`) });
  await t.rejects(open(path, 1), { code: 'unreachable', status: 502 });
});

t.test('a refused connection looks refused on this device, and says why', async (t) => {
  const { path } = await startVmTunnel(t, [{ from: 1, to: 1 }]);
  const problems: unknown[] = [];
  const local = await forward(t, path, 2, problems);
  const socket = connect({ port: local.port, host: '127.0.0.1' });
  const [error] = await once(socket, 'close').then(
    () => [],
    (error: unknown) => [error],
  );
  t.match(error, { code: 'ECONNRESET' });
  t.match(problems, [{ code: 'forbidden' }]);
});

t.test('C5 another server certificate: refused, and not one byte reaches it', async (t) => {
  let received = 0;
  const path = await startTls(t, (socket) => socket.on('data', (chunk) => (received += chunk.length)));
  const wrong = { ...path, serverCertificateSha256: 'ab'.repeat(32) };
  await t.rejects(open(wrong, 80), { code: 'identity-changed', message: /Nothing was sent/ });
  t.equal(received, 0);
});

t.test('C5 a certificate that the VM does not know gets no answer', async (t) => {
  const { path, refused } = await startVmTunnel(t, [{ from: 1, to: 65535 }]);
  const stranger = { ...path, certificate: makeCertificate('stranger', 'clientAuth', 1, now) };
  await t.rejects(open(stranger, 80), { code: 'channel-closed' });
  t.strictSame(refused, ['unknown-certificate']);
});

t.test('C16 the end of the grant cuts the stream', async (t) => {
  const port = await startMirror(t);
  const { path, grants } = await startVmTunnel(t, [{ from: port, to: port }]);
  const { stream } = await open(path, port);
  stream.resume();
  stream.on('error', () => {});
  const cut = closed(stream);
  grants.closeAll();
  await cut;
  await t.rejects(open(path, port), { code: 'unreachable' });
});

t.test('nobody listens, plain TCP, not a tunnel, silence: one clear error each', async (t) => {
  const gone = createServer();
  const freePort = await listen(gone);
  gone.close();
  const { path } = await startVmTunnel(t, []);
  await t.rejects(open({ ...path, port: freePort }, 80), { code: 'unreachable', hint: /6000-6100/ });
  const plain = await startMirror(t, (socket) => socket.end('220 hello\r\n'));
  await t.rejects(open({ ...path, port: plain }, 80), { code: 'unreachable' });
  const odd = await startTls(t, (socket) => socket.end('220 hello\r\n\r\n'));
  await t.rejects(open(odd, 80), { code: 'bad-data' });
  const silent = await startTls(t, () => {});
  const abort = new AbortController();
  const waiting = openStream(silent, 80, abort.signal);
  abort.abort();
  await t.rejects(waiting, { code: 'cancelled' });
});

t.test('a local port that is taken is named', async (t) => {
  const taken = await startMirror(t);
  await t.rejects(
    listenLocally({ port: taken, open: () => Promise.reject(new Error('unused')), onProblem: () => {} }),
    {
      code: 'port-in-use',
      message: new RegExp(String(taken)),
    },
  );
});

t.test(
  'an answer that comes in one piece with what the service says is whole, also to a local side that has ended',
  async (t) => {
    const port = await startMirror(t, (socket) => socket.on('data', (chunk) => socket.end(chunk)));
    const { path } = await startVmTunnel(t, [{ from: port, to: port }]);
    // Holds back what comes from the VM, and passes it on in one piece.
    const holder = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      const far = connect({ port: path.port, host: path.host, allowHalfOpen: true, noDelay: true });
      let held: Buffer[] = [];
      for (const socket of [near, far]) socket.on('error', () => {});
      far.on('data', (chunk: Buffer) => {
        if (held.push(chunk) > 1) return;
        setTimeout(() => {
          near.write(Buffer.concat(held));
          held = [];
        }, 60);
      });
      far.on('end', () => setTimeout(() => near.end(), 120));
      near.pipe(far);
      near.once('close', () => far.destroy());
    });
    t.teardown(() => void holder.close());
    const held = { ...path, port: await listen(holder) };
    const local = await listenLocally({
      port: 0,
      open: (signal, early) => openStream(held, port, signal, { early }),
      onProblem: (error) => t.fail(String(error)),
    });
    t.teardown(() => local.close());
    for (let i = 0; i < 3; i++) {
      const socket = connect({ port: local.port, host: '127.0.0.1', allowHalfOpen: true });
      socket.end('words');
      t.equal((await buffer(socket)).toString(), 'words');
    }
  },
);
