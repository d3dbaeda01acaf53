import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import t from 'tap';
import WebSocket, { WebSocketServer } from 'ws';
import { MAX_TRANSPORT_MESSAGE } from '../../../shared/channel/limits.ts';
import { ReplayCache } from '../../../shared/channel/replay-cache.ts';
import { acceptChannel } from '../../../shared/channel/run-handshake.ts';
import type { Transport } from '../../../shared/channel/transport.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { channelContract, channelPair } from '../../unit/channel/channel-contract.ts';
import { vm } from '../../unit/channel/peers.ts';

const options = { maxPayload: MAX_TRANSPORT_MESSAGE, perMessageDeflate: false };
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, ...options });
await once(server, 'listening');
const { port } = server.address() as AddressInfo;
t.teardown(() => {
  for (const socket of server.clients) socket.terminate();
  server.close();
});

/** Both ends of one WebSocket over loopback. */
async function sockets(clientOptions: object = options): Promise<[WebSocket, WebSocket]> {
  const accepted = once(server, 'connection');
  const client = new WebSocket(`ws://127.0.0.1:${port}`, clientOptions);
  const [there] = (await accepted) as [WebSocket];
  return [client, there];
}

async function pair(): Promise<[Transport, Transport]> {
  const [client, there] = await sockets();
  return [webSocketTransport(client), webSocketTransport(there)];
}

t.test('B1, C2: over WebSockets', (t) => {
  channelContract(t, pair);
  t.end();
});

t.test('a text message ends the connection with code 1003', async (t) => {
  const [client, there] = await sockets();
  const transport = webSocketTransport(there);
  await once(client, 'open');
  const closed = once(client, 'close');
  client.send('hello');
  t.equal(await transport.receive(), undefined);
  const [code] = await closed;
  t.equal(code, 1003);
});

t.test('a message that is too long ends it, whichever limit it meets first', async (t) => {
  const [client, there] = await sockets({ perMessageDeflate: false });
  const transport = webSocketTransport(there);
  await once(client, 'open');
  const closed = once(client, 'close');
  client.send(new Uint8Array(MAX_TRANSPORT_MESSAGE + 1));
  t.equal(await transport.receive(), undefined);
  const [code] = await closed;
  t.equal(code, 1009);
  const [without, other] = await sockets({ perMessageDeflate: false });
  const limitless = webSocketTransport(without);
  await once(without, 'open');
  other.send(new Uint8Array(MAX_TRANSPORT_MESSAGE + 1));
  t.equal(await limitless.receive(), undefined);
});

t.test('what nobody receives is not piled up: neither many bytes nor many small messages', async (t) => {
  for (const size of [60_000, 1]) {
    const [client, there] = await sockets();
    webSocketTransport(there);
    await once(client, 'open');
    let taken = 0;
    there.on('message', () => taken++);
    const paused = new Promise<void>((resolve) => {
      const check = (): void => {
        if (there.isPaused) resolve();
      };
      there.on('message', check);
    });
    for (let i = 0; i < 20_000_000 / Math.max(size, 400); i++) client.send(new Uint8Array(size));
    await paused;
    await new Promise((resolve) => setTimeout(resolve, 50));
    t.ok(taken * size < 1.5 * 2 ** 20, `${taken} messages of ${size} bytes`);
    t.ok(taken < 25_000, 'no more than one read of the socket beyond the limit');
    client.terminate();
    there.terminate();
  }
});

t.test('sending may begin before the socket is open; when it never opens, it fails', async (t) => {
  const [client, there] = await sockets();
  const [ours, theirs] = [webSocketTransport(client), webSocketTransport(there)];
  await ours.send(Uint8Array.of(1));
  t.same(await theirs.receive(), Uint8Array.of(1));
  ours.close();
  const nobody = webSocketTransport(new WebSocket('ws://127.0.0.1:1', options));
  await t.rejects(nobody.send(Uint8Array.of(1)), { code: 'channel-closed' });
  t.equal(await nobody.receive(), undefined);
});

t.test('a socket that was paused before it is wrapped loses nothing', async (t) => {
  const [client, there] = await sockets();
  there.pause();
  await once(client, 'open');
  client.send(Uint8Array.of(1));
  await new Promise((resolve) => client.send(Uint8Array.of(2), resolve));
  const transport = webSocketTransport(there);
  t.same(await transport.receive(), Uint8Array.of(1));
  t.same(await transport.receive(), Uint8Array.of(2));
  transport.close();
});

t.test('C2: a stranger sees the WebSocket close, normally and without a word', async (t) => {
  const [client, there] = await sockets();
  const accepted = acceptChannel(webSocketTransport(there), {
    identity: vm,
    authorize: () => true,
    replayCache: new ReplayCache(),
  });
  const refused = accepted.catch((error: unknown) => error);
  const closed = once(client, 'close');
  await once(client, 'open');
  const heard: unknown[] = [];
  client.on('message', (data) => heard.push(data));
  client.send(new Uint8Array(1394));
  t.match(await refused, { reason: 'malformed' });
  const [code, why] = await closed;
  t.same([code, String(why), heard], [1000, '', []]);
});

t.test('C2: a refused peer that does not let go is cut off within a second or so', async (t) => {
  const socket = connect(port, '127.0.0.1');
  const connection = once(server, 'connection');
  socket.write(
    'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  const [there] = (await connection) as [WebSocket];
  const started = performance.now();
  webSocketTransport(there).close();
  socket.resume();
  await once(there, 'close');
  t.ok(performance.now() - started < 3_000);
  socket.destroy();
});

t.test('C2: a TCP cut under an open channel is a cut, not an end', async (t) => {
  const [client, there] = await sockets();
  const [a, b] = await channelPair([webSocketTransport(client), webSocketTransport(there)]);
  await a.send(Uint8Array.of(1));
  t.same(await b.receive(), Uint8Array.of(1));
  client.terminate();
  await t.rejects(b.receive(), { code: 'channel-closed' });
  await t.rejects(a.receive(), { code: 'channel-closed' });
});
