/** C5, C16: what TLS is negotiated on port 22, and what is refused; resumption; waiting for a CONNECT. Real TLS clients. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Socket, connect as tcpConnect } from 'node:net';
import { join } from 'node:path';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import t from 'tap';
import { certificateSha256, makeCertificate } from '../../../shared/net/certificate.ts';
import { run } from '../../../shared/run.ts';
import { until } from '../backend/fixture.ts';
import { clientHello } from '../hostile/client-hello.ts';
import { ANN, connectThrough, listening, PORTS, readAll, setUpTunnel } from './tunnel-fixture.ts';

const PATIENCE_MS = 20_000;
const closed = (socket: Socket) => new Promise<void>((resolve) => socket.resume().once('close', () => resolve()));

t.test('C16 the hybrid whenever the client knows it; approved groups, suites and versions only', async (t) => {
  const { port, device } = await setUpTunnel(t);
  /** Whatever a client offers. @returns what was agreed, or how it was refused. */
  const offer = (options: ConnectionOptions) =>
    new Promise<string>((resolve) => {
      const socket = tlsConnect({
        ...{
          host: '127.0.0.1',
          port,
          rejectUnauthorized: false,
          cert: device.certificatePem,
          key: device.privateKeyPem,
        },
        ...options,
      });
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(`${error.code}`));
      socket.once('secureConnect', () => {
        const { name } = socket.getEphemeralKeyInfo() as { name?: string };
        resolve(`${socket.getProtocol()} ${socket.getCipher().name} ${name}`);
        socket.destroy();
      });
    });
  const best = 'TLSv1.3 TLS_AES_256_GCM_SHA384 X25519MLKEM768';
  const agreed: [ConnectionOptions, string][] = [
    [{}, best],
    [{ ecdhCurve: 'X25519:X25519MLKEM768' }, best],
    [{ ecdhCurve: 'P-256:X25519MLKEM768' }, best],
    [{ ecdhCurve: 'P-256' }, 'TLSv1.3 TLS_AES_256_GCM_SHA384 prime256v1'],
    [{ ecdhCurve: 'P-521:X25519:P-384' }, 'TLSv1.3 TLS_AES_256_GCM_SHA384 secp384r1'],
    [{ ciphers: 'TLS_AES_128_GCM_SHA256' }, 'TLSv1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768'],
  ];
  for (const [options, wanted] of agreed) t.equal(await offer(options), wanted, JSON.stringify(options));
  const refused: ConnectionOptions[] = [
    ...['P-521', 'X25519', 'X448', 'ffdhe2048', 'MLKEM768'].map((ecdhCurve) => ({ ecdhCurve })),
    ...['TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_CCM_SHA256'].map((ciphers) => ({ ciphers })),
    { sigalgs: 'rsa_pkcs1_sha1:rsa_pss_rsae_sha256' },
  ];
  for (const options of refused)
    t.equal(await offer(options), 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE', JSON.stringify(options));
  for (const maxVersion of ['TLSv1.2', 'TLSv1.1'] as const)
    t.match(
      await offer({ minVersion: 'TLSv1', maxVersion, ciphers: 'ALL:@SECLEVEL=0' }),
      /PROTOCOL_VERSION/,
      maxVersion,
    );
});

t.test('C16 one HelloRetryRequest, and no second; no renegotiation; key updates harm nothing', async (t) => {
  const echo = createServer((socket) => void socket.on('error', () => {}).pipe(socket));
  const echoPort = await listening(t, echo);
  const { port, device, files } = await setUpTunnel(t, { ports: [echoPort] });

  const hello = await clientHello('TLSv1.3', 'P-256:X25519MLKEM768');
  const raw = tcpConnect(port, '127.0.0.1').on('error', () => {});
  raw.write(hello);
  const [answer] = (await once(raw, 'data')) as [Buffer];
  const retry = Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex'); // RFC 8446, 4.1.3
  t.ok(answer.includes(retry), 'asked for the hybrid');
  raw.write(hello);
  const rest = await readAll(raw).catch(() => Buffer.alloc(0));
  t.notOk(rest.includes(retry), 'the same again is not asked twice');

  const { cert, key } = files(device, 'device');
  const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-cert', cert, '-key', key], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  t.teardown(() => client.kill());
  let said = '';
  for (const stream of [client.stdout, client.stderr])
    stream.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
  const saw = (pattern: RegExp) => until(() => pattern.test(said), PATIENCE_MS);
  await saw(/read R BLOCK/);
  client.stdin.write(`CONNECT localhost:${echoPort} HTTP/1.1\r\n\r\n`);
  await saw(/200 Connected/);
  client.stdin.write('K\n'); // s_client's command: update both keys
  await saw(/KEYUPDATE/);
  client.stdin.write('marco\n');
  await saw(/marco/);
  client.stdin.write('R\n'); // renegotiate: TLS 1.3 has none
  await saw(/RENEGOTIATING[\s\S]*(wrong ssl version|error)/i);
});

t.test(
  'C16 resumed by openssl: bound to the certificate that began it, and its grant is looked up again',
  async (t) => {
    const { port, device, files, tunnel, sha, server } = await setUpTunnel(t);
    const other = makeCertificate('other', 'clientAuth', 1, new Date());
    await tunnel.open(certificateSha256(other.certificatePem), ANN, PORTS);
    const session = join(t.testdir({}), 'session.pem');
    const client = async (who: typeof device, name: string, ...args: string[]) => {
      const { cert, key } = files(who, name);
      const { stdout } = await run({
        file: 'openssl',
        args: ['s_client', '-ign_eof', '-connect', `127.0.0.1:${port}`, '-cert', cert, '-key', key, ...args],
        stdin: 'CONNECT localhost:1 HTTP/1.1\r\n\r\n',
        timeoutMs: PATIENCE_MS,
        okExitCodes: [0, 1],
      });
      return { resumed: /^Reused, TLSv1\.3/m.test(stdout), http: /HTTP\/1\.1 403/.test(stdout) };
    };
    t.same(await client(device, 'device', '-sess_out', session), { resumed: false, http: true });
    t.match(readFileSync(session, 'utf8'), /BEGIN SSL SESSION/);
    t.same(await client(device, 'device', '-sess_in', session), { resumed: true, http: true });
    t.same(
      await client(other, 'other', '-sess_in', session),
      { resumed: true, http: true },
      'the session says who it is',
    );
    tunnel.close(sha, ANN);
    t.same(
      await client(other, 'other', '-sess_in', session),
      { resumed: true, http: false },
      'and not the certificate of now',
    );
    t.same(await client(other, 'other'), { resumed: false, http: true });
    await tunnel.open(sha, ANN, PORTS);
    t.same(await client(device, 'device', '-sess_in', session), { resumed: true, http: true });
    server.rotateTicketKeys();
    t.same(
      await client(device, 'device', '-sess_in', session),
      { resumed: false, http: true },
      'another key: a handshake',
    );
  },
);

t.test(
  'C5 connections wait for their CONNECT: bounded by number and time, no streams, gone with their grant',
  async (t) => {
    const service = createServer((socket) => socket.on('error', () => {}).end('hello'));
    const servicePort = await listening(t, service);
    const use = (grants: { list(): { streams: number; streamsTotal: number }[] }) =>
      grants.list().map(({ streams, streamsTotal }) => [streams, streamsTotal]);
    {
      const { tls, device, grants, refused } = await setUpTunnel(t, {
        ports: [servicePort],
        readyPerGrant: 3,
        preAuthMs: 700,
      });
      const ready: TLSSocket[] = [];
      for (let i = 0; i < 3; i++) ready.push(await tls(device));
      const ends = ready.map((socket) => once(socket.resume(), 'end', { signal: AbortSignal.timeout(PATIENCE_MS) }));
      await once(AbortSignal.timeout(1200), 'abort'); // longer than strangers may take
      t.same(use(grants), [[0, 0]], 'they are no streams');
      const newest = await tls(device);
      await ends[0];
      t.pass('the oldest went, by a proper end');
      t.same(refused, [], 'which is no refusal');
      for (const end of ends) end.catch(() => {});
      for (const socket of [...ready.slice(1), newest]) {
        socket.pause();
        t.match(await connectThrough(socket, `localhost:${servicePort}`), /200/, 'the others work, also after a while');
        t.equal((await readAll(socket)).toString(), 'hello');
      }
      await until(() => grants.list()[0]?.streams === 0, PATIENCE_MS);
      t.match(grants.list(), [{ streamsTotal: 3, bytesIn: 0, bytesOut: 15 }]);
    }
    {
      const { tls, device, grants, tunnel, sha } = await setUpTunnel(t, { readySeconds: 1 });
      const one = await tls(device);
      await once(one.resume(), 'end', { signal: AbortSignal.timeout(PATIENCE_MS) });
      t.pass('ended at the end of its time');
      const two = await tls(device);
      two.resume();
      await once(two, 'session', { signal: AbortSignal.timeout(PATIENCE_MS) }); // the server, too, is done with the handshake
      const gone = once(two, 'close', { signal: AbortSignal.timeout(1000) });
      gone.catch(() => {});
      t.equal(tunnel.close(sha, ANN), 0);
      await t.rejects(gone, { code: 'ECONNRESET' }, 'cut with its grant');
      t.equal(grants.size, 0);
    }
  },
);

t.test('C5 C12 counters: bytes of live streams and of those that are over, told at the end', async (t) => {
  const echo = createServer({ allowHalfOpen: true }, (socket) => void socket.on('error', () => {}).pipe(socket));
  const echoPort = await listening(t, echo);
  const { tls, device, tunnel, sha, ended } = await setUpTunnel(t, { ports: [echoPort] });
  const first = await tls(device);
  await connectThrough(first, `localhost:${echoPort}`);
  first.end(Buffer.alloc(100_000));
  t.equal((await readAll(first)).length, 100_000);
  const second = await tls(device);
  await connectThrough(second, `localhost:${echoPort}`);
  second.write(Buffer.alloc(5000));
  for (let got = 0; got < 5000; ) got += ((await once(second, 'data')) as [Buffer])[0].length;
  await until(() => tunnel.list(ANN, new Set()).grants[0]?.streams === 1, PATIENCE_MS);
  t.match(tunnel.list(ANN, new Set()), {
    grants: [{ person: ANN, streams: 1, streamsTotal: 2, bytesIn: 105_000, bytesOut: 105_000 }],
    more: false,
  });
  const cut = closed(second);
  second.on('error', () => {});
  t.equal(tunnel.close(sha, ANN), 1);
  await cut;
  t.same(ended, [{ why: 'closed', use: { streams: 1, streamsTotal: 2, bytesIn: 105_000, bytesOut: 105_000 } }]);
});

t.test('TCP keep-alive is on, towards the device and towards the service', async (t) => {
  const service = createServer((socket) => socket.on('error', () => {}).resume());
  const servicePort = await listening(t, service);
  const { tls, device, port } = await setUpTunnel(t, { ports: [servicePort] });
  const socket = await tls(device);
  await connectThrough(socket, `localhost:${servicePort}`);
  // ss(8) says of a connection with it: timer:(keepalive,…). Both ends are on this machine: ours are told by their ports.
  const { stdout } = await run({ file: 'ss', args: ['-tnoH', 'state', 'established'], timeoutMs: 10_000 });
  const lines = stdout.split('\n').map((line) => line.trim().split(/\s+/));
  const timerOf = (mine: (local: string, peer: string) => boolean) =>
    lines.find(([, , local = '', peer = '']) => mine(local, peer))?.[4] ?? 'no such connection';
  t.match(
    timerOf((local, peer) => local.endsWith(`:${port}`) && peer.endsWith(`:${socket.localPort}`)),
    /keepalive/,
  );
  t.match(
    timerOf((_local, peer) => peer.endsWith(`:${servicePort}`)),
    /keepalive/,
  );
});

t.test('back-pressure: who does not read is not read for, in either direction', async (t) => {
  const inside = Promise.withResolvers<Socket>();
  const service = createServer((socket) => {
    socket.on('error', () => {});
    inside.resolve(socket);
  });
  const servicePort = await listening(t, service);
  const { tls, device } = await setUpTunnel(t, { ports: [servicePort] });
  const socket = await tls(device);
  await connectThrough(socket, `localhost:${servicePort}`);
  const served = await inside.promise;
  const before = process.memoryUsage.rss();
  for (const [from, to] of [
    [socket, served],
    [served, socket],
  ] as const) {
    to.pause();
    const block = Buffer.alloc(1024 * 1024);
    let sent = 0;
    // Until nothing has gone for a while: the kernel's buffers and a few chunks are full then.
    for (let stuck = false; !stuck && sent < 64; sent++)
      stuck = !(await new Promise<boolean>((resolve) => {
        const timer = setTimeout(() => resolve(false), 1000);
        from.write(block, () => {
          clearTimeout(timer);
          resolve(true);
        });
      }));
    t.ok(sent < 64, `stopped after ${sent} MiB`);
    to.resume();
    await until(() => from.writableLength === 0, PATIENCE_MS);
  }
  t.ok(process.memoryUsage.rss() - before < 128 * 1024 * 1024);
});
