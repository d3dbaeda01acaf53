/** The TLS tunnel with OpenSSL and curl as the other side (requirements C5, C16). */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Socket, connect as tcpConnect } from 'node:net';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { certificateSha256, makeCertificate } from '../../../shared/net/certificate.ts';
import { run } from '../../../shared/run.ts';
import { claimPort } from '../../../vmc/port22/claim-port.ts';
import { ANN, connectThrough, listening, PORTS, readAll, setUpTunnel } from './tunnel-fixture.ts';

t.test('C5 curl gets through with the granted certificate, and reads why when it does not', async (t) => {
  const web = createHttpServer((_request, answer) => answer.end('hello from the VM'));
  const webPort = await listening(t, web);
  const closedPort = await listening(t, createServer());
  const { port, device, files, denied } = await setUpTunnel(t, { ports: [webPort, 1] });
  const { cert, key } = files(device, 'device');
  const curl = (target: string) =>
    run({
      file: 'curl',
      args: [
        '-sS',
        '-i',
        '--max-time',
        '10',
        '--proxytunnel',
        '--proxy',
        `https://127.0.0.1:${port}`,
        '--proxy-insecure',
        '--proxy-cert',
        cert,
        '--proxy-key',
        key,
        target,
      ],
      timeoutMs: 15_000,
      okExitCodes: [0, 56],
    });
  t.match((await curl(`http://localhost:${webPort}/`)).stdout, /hello from the VM/);
  t.match((await curl(`http://127.0.0.1:${webPort}/`)).stdout, /hello from the VM/);
  t.match(
    (await curl(`http://localhost:${closedPort}/`)).stdout,
    /^HTTP\/1\.1 403 .*Port \d+ is not on this VM's list/s,
  );
  t.match((await curl('http://localhost:1/')).stdout, /^HTTP\/1\.1 502 .*Nothing listens on port 1/s);
  t.match((await curl('http://example.org:80/')).stdout, /^HTTP\/1\.1 403 .*localhost only/s);
  t.same(denied, [`${ANN} port-not-allowed localhost:${closedPort}`], 'C12 who asked for what, for the audit log');
});

t.test('C5 OpenSSL: the pinned server certificate, TLS 1.3 only, approved suites', async (t) => {
  const { port, device, files, serverCertificateSha256 } = await setUpTunnel(t);
  const { cert, key } = files(device, 'device');
  const client = (...args: string[]) =>
    run({
      file: 'openssl',
      args: ['s_client', '-connect', `127.0.0.1:${port}`, '-cert', cert, '-key', key, '-alpn', 'http/1.1', ...args],
      stdin: 'GET / HTTP/1.1\r\n\r\n',
      timeoutMs: 10_000,
      okExitCodes: [0, 1],
    });
  const good = await client('-ign_eof');
  t.match(good.stdout, /TLSv1\.3, Cipher is TLS_AES_256_GCM_SHA384/);
  t.match(good.stdout, /ALPN protocol: http\/1\.1/);
  t.match(good.stdout, /405 Only CONNECT works here/);
  const pem = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/.exec(good.stdout)?.[0] ?? '';
  t.equal(certificateSha256(pem), serverCertificateSha256, 'it is the one that the channel told');
  t.match((await client('-tls1_2')).stdout, /Cipher is \(NONE\)/, 'TLS 1.2 is refused');
  t.match((await client('-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256')).stdout, /Cipher is \(NONE\)/);
});

t.test('an unknown certificate, or none, gets no HTTP at all', async (t) => {
  const { tls, refused, tunnel, sha, port } = await setUpTunnel(t);
  for (const certificate of [makeCertificate('device', 'clientAuth', 1, new Date()), undefined]) {
    const socket = await tls(certificate);
    socket.write('CONNECT localhost:1 HTTP/1.1\r\n\r\n');
    t.equal((await readAll(socket).catch(() => Buffer.alloc(0))).length, 0);
  }
  t.same(refused, ['unknown-certificate', 'no-certificate']);
  tunnel.close(sha, ANN);
  const raw = tcpConnect(port, '127.0.0.1').on('error', () => {});
  t.equal((await readAll(raw).catch(() => Buffer.alloc(0))).length, 0, 'without a grant not even a handshake');
});

t.test('C16 a resumed session passes the pin too, and not after the grant has ended', async (t) => {
  const { tls, device, tunnel, sha } = await setUpTunnel(t);
  const first = await tls(device);
  const [session] = (await once(first, 'session')) as [Buffer];
  t.match(await connectThrough(first, 'localhost:1'), /403/);
  const second = await tls(device, { session });
  t.equal(second.isSessionReused(), true);
  t.match(await connectThrough(second, 'localhost:1'), /403/);
  const other = await tunnel.open('ab'.repeat(32), ANN, PORTS); // so that there still is a grant
  t.ok(other);
  tunnel.close(sha, ANN);
  const third = await tls(device, { session });
  await t.rejects(connectThrough(third, 'localhost:1'), /closed/);
});

t.test('64 MiB each way arrive unchanged, with half-close', async (t) => {
  const sum = async (socket: Socket) => {
    const hash = createHash('sha256');
    socket.on('data', (chunk: Buffer) => hash.update(chunk)); // not for-await: that destroys the socket at its end
    await once(socket, 'end');
    return hash.digest('hex');
  };
  // Answers only once it has seen the end of what comes: that needs half-close all the way.
  const answer = randomBytes(64 * 1024 * 1024);
  const received = Promise.withResolvers<string>();
  const service = createServer({ allowHalfOpen: true }, (socket) => {
    void sum(socket).then((digest) => {
      received.resolve(digest);
      socket.end(answer);
    });
  });
  const servicePort = await listening(t, service);
  const { tls, device } = await setUpTunnel(t, { ports: [servicePort] });
  const socket = await tls(device);
  t.match(await connectThrough(socket, `localhost:${servicePort}`), /^HTTP\/1\.1 200 /);
  const sent = randomBytes(64 * 1024 * 1024);
  const back = sum(socket);
  socket.end(sent);
  t.equal(await received.promise, createHash('sha256').update(sent).digest('hex'), 'there');
  t.equal(await back, createHash('sha256').update(answer).digest('hex'), 'and back');
});

t.test('bytes that came with the CONNECT are not lost; a cut on one side is a cut on the other', async (t) => {
  const accepted = Promise.withResolvers<Socket>();
  const service = createServer((socket) => accepted.resolve(socket));
  const servicePort = await listening(t, service);
  const { tls, device } = await setUpTunnel(t, { ports: [servicePort] });
  const socket = await tls(device);
  socket.write(`CONNECT localhost:${servicePort} HTTP/1.1\r\n\r\nearly`);
  const inside = await accepted.promise;
  const [early] = (await once(inside, 'data')) as [Buffer];
  t.equal(early.toString(), 'early');
  socket.resume();
  inside.resetAndDestroy();
  await t.rejects(once(socket, 'close', { signal: AbortSignal.timeout(5000) }), { code: 'ECONNRESET' });
});

t.test('C5 the end of a grant cuts its streams within a second', async (t) => {
  const service = createServer((socket) => socket.on('error', () => {}).resume());
  const servicePort = await listening(t, service);
  for (const how of ['closed', 'expired'] as const) {
    const { tls, device, tunnel, sha, grants } = await setUpTunnel(t, {
      ports: [servicePort],
      lifetimeMs: how === 'expired' ? 700 : 60_000,
    });
    const socket = await tls(device);
    t.match(await connectThrough(socket, `localhost:${servicePort}`), /200/);
    socket.resume();
    const gone = once(socket, 'close', { signal: AbortSignal.timeout(1700) });
    gone.catch(() => {}); // looked at below
    const started = performance.now();
    if (how === 'closed') t.equal(tunnel.close(sha, ANN), 1);
    await t.rejects(gone, { code: 'ECONNRESET' }, 'a cut, not a proper end');
    if (how === 'closed') t.ok(performance.now() - started < 1000, 'within a second');
    t.equal(grants.size, 0, how);
    await tunnel.open('ab'.repeat(32), ANN, PORTS); // so that TLS goes on
    const late = await tls(device);
    await t.rejects(connectThrough(late, `localhost:${servicePort}`), /closed/, `${how}: its certificate is unknown`);
  }
});

t.test('C5 a grant that ends between the handshake and its first use leaves no connection behind', async (t) => {
  let time = Date.now();
  const { tls, device, grants, denied } = await setUpTunnel(t, { clock: () => time });
  const find = grants.find.bind(grants);
  grants.find = (certificate) => {
    const found = find(certificate);
    time += 3_600_000; // the clock goes on while vmc looks
    return found;
  };
  const socket = await tls(device);
  await t.rejects(connectThrough(socket, 'localhost:1'), 'cut, not answered');
  t.same(denied, []);
});

t.test('C6 a service of vmc itself can tell who came through the tunnel', async (t) => {
  const begun: [Socket, number][] = [];
  const arrived = Promise.withResolvers<[number | undefined, number | undefined]>();
  const service = createServer((socket) => {
    arrived.resolve([socket.remotePort, begun[0]?.[0].localPort]); // looked at in the moment in which it arrives
    socket.on('error', () => {}).resume();
  });
  const servicePort = await listening(t, service);
  const onService = (each: Socket, port: number) => void begun.push([each, port]);
  const { tls, device } = await setUpTunnel(t, { ports: [servicePort], onService });
  const socket = await tls(device);
  t.match(await connectThrough(socket, `localhost:${servicePort}`), /200/);
  const [far, own] = await arrived.promise;
  t.ok(far !== undefined && far === own);
  t.equal(begun[0]?.[1], servicePort);
  socket.destroy();
});

t.test('bounds: streams of a grant, connections that say nothing, heads that are too long', async (t) => {
  const service = createServer((socket) => socket.on('error', () => {}).resume());
  const servicePort = await listening(t, service);
  const { tls, device, port, refused } = await setUpTunnel(t, { ports: [servicePort], preAuthMs: 800, maxPreAuth: 5 });
  const open = await Promise.all([1, 2, 3].map(() => tls(device)));
  for (const socket of open) t.match(await connectThrough(socket, `localhost:${servicePort}`), /200/);
  t.match(await connectThrough(await tls(device), `localhost:${servicePort}`), /429/, 'the fourth');
  open[0]?.destroy();
  await once(open[0] as TLSSocket, 'close');

  const long = await tls(device);
  long.write(`CONNECT localhost:${servicePort} HTTP/1.1\r\nX: ${'a'.repeat(5000)}\r\n\r\n`);
  t.match((await readAll(long)).toString(), /^HTTP\/1\.1 431 /);

  const silent = Array.from({ length: 6 }, () => tcpConnect(port, '127.0.0.1').on('error', () => {}));
  const started = performance.now();
  await Promise.all(silent.map((socket) => once(socket.resume(), 'close')));
  t.ok(performance.now() - started < 3000, 'cut at the deadline');
  t.ok(refused.includes('too-many-connections'), 'the sixth at once');
  t.match(await connectThrough(await tls(device), 'localhost:1'), /403/, 'there is room again');
});

t.test('B1: strangers take one another’s places, never that of a device that has shown its certificate', async (t) => {
  const service = createServer((socket) => socket.on('error', () => {}).resume());
  const servicePort = await listening(t, service);
  const { tls, device, port, refused } = await setUpTunnel(t, { ports: [servicePort], maxPreAuth: 2 });
  const silent = () => {
    const socket = tcpConnect(port, '127.0.0.1').on('error', () => {});
    return { gone: once(socket.resume(), 'close'), socket };
  };
  const held = [silent(), silent()];
  await Promise.all(held.map(({ socket }) => once(socket, 'connect')));
  const known = [await tls(device), await tls(device), await tls(device)];
  await Promise.all(held.map(({ gone }) => gone));
  t.same(refused, Array(2).fill('too-many-connections'), 'the oldest went, those that proved themselves did not count');
  const more = [silent(), silent(), silent(), silent()];
  await Promise.all(more.slice(0, 2).map(({ gone }) => gone));
  for (const socket of known) t.match(await connectThrough(socket, `localhost:${servicePort}`), /200/);
  t.match(await connectThrough(await tls(device), `localhost:${servicePort}`), /429/, 'it has all its streams');
  for (const { socket } of [...held, ...more]) socket.destroy();
  for (const socket of known) socket.destroy();
});

t.test('C5 connections that differ in nothing but the address of the VM are not taken for one another', async (t) => {
  const servicePort = await listening(
    t,
    createServer((socket) => socket.on('error', () => {}).resume()),
  );
  const { tls, device, tunnel, sha, port } = await setUpTunnel(t, { ports: [servicePort] });
  const dial = async (host: string, localPort: number) => {
    const socket = tcpConnect({ host, port, localAddress: '127.0.0.1', localPort }).on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };
  const first = await dial('127.0.0.1', 0);
  const second = await dial('127.0.0.2', first.localPort ?? 0);
  second.write(Buffer.from([22, 3, 1])); // vmc has it by the time that the first has shown its certificate
  const stream = await tls(device, { socket: first });
  t.match(await connectThrough(stream, `localhost:${servicePort}`), /200/);
  const gone = once(stream.resume(), 'close', { signal: AbortSignal.timeout(5000) });
  t.equal(tunnel.close(sha, ANN), 1);
  await t.rejects(gone, { code: 'ECONNRESET' }, 'the one that was cut is the one that had the grant');
  second.destroy();
  stream.destroy();
});

t.test('C4 a port in use is an error that names who has it', async (t) => {
  const child = spawn('openssl', ['s_server', '-accept', '127.0.0.1:0', '-nocert'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => child.kill());
  let said = '';
  while (!/ACCEPT [^\n]*:\d+\n/.test(said)) said += String((await once(child.stdout, 'data'))[0]);
  const port = Number(/ACCEPT [^\n]*:(\d+)\n/.exec(said)?.[1]);
  await t.rejects(claimPort(createServer(), port), {
    code: 'port-in-use',
    message: `openssl (pid ${child.pid}) owns port ${port}, which belongs to vmc.`,
  });
});
