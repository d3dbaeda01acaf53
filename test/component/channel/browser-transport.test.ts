/** A browser's WebSocket as a transport. The socket is ws's, which has the same interface, over real TLS. */
import { once } from 'node:events';
import t from 'tap';
import WebSocket from 'ws';
import { browserTransport } from '../../../shared/channel/browser-transport.ts';
import { MAX_TRANSPORT_MESSAGE } from '../../../shared/channel/limits.ts';
import { startWss } from './wss.ts';

const connect = await startWss(t);

/** Both sockets, open. */
async function opened(): Promise<[WebSocket, WebSocket]> {
  const { client, accepted } = connect();
  const [there] = await Promise.all([accepted, once(client, 'open')]);
  return [client, there];
}

t.test('text, and a message that is too long, end the connection', async (t) => {
  for (const message of ['hello', new Uint8Array(MAX_TRANSPORT_MESSAGE + 1)]) {
    const { client, accepted } = connect({ maxPayload: 1_000_000 });
    const transport = browserTransport(client);
    const there = await accepted;
    const closed = once(there, 'close');
    there.send(message);
    t.equal(await transport.receive(), undefined);
    t.equal((await closed)[0], 1000);
  }
});

t.test('who never reads is cut off, with little left in memory', async (t) => {
  for (const size of [60_000, 1]) {
    const [client, there] = await opened();
    const transport = browserTransport(client);
    const closed = once(there, 'close');
    let sent = 0;
    const flood = (): void => {
      for (; there.readyState === WebSocket.OPEN && there.bufferedAmount < 1_000_000 && sent < 20_000; sent++)
        there.send(new Uint8Array(size), () => setImmediate(flood));
    };
    flood();
    t.equal((await closed)[0], 1000, `${size} bytes each`);
    t.ok(sent * size < 64 * 2 ** 20, `after ${sent} messages`);
    t.equal(await transport.receive(), undefined, 'and what was there is gone');
  }
});

t.test('sending may begin before the socket is open; when it never opens, it fails', async (t) => {
  const { client, accepted } = connect();
  const transport = browserTransport(client);
  const there = await Promise.race([accepted, transport.send(Uint8Array.of(1)).then(() => accepted)]);
  const [message] = await once(there, 'message');
  t.same(new Uint8Array(message as Buffer), Uint8Array.of(1));
  transport.close();
  const nobody = browserTransport(new WebSocket('ws://127.0.0.1:1'));
  await t.rejects(nobody.send(Uint8Array.of(1)), { code: 'channel-closed' });
  t.equal(await nobody.receive(), undefined);
});

t.test('sending waits while the other side does not read, and a cut frees who waits', async (t) => {
  const [client, there] = await opened();
  const transport = browserTransport(client);
  there.pause();
  let waiting = false;
  for (let sent = 0; !waiting && sent < 2000; sent++) {
    const sending = transport.send(new Uint8Array(60_000));
    waiting = await Promise.race([
      sending.then(() => false),
      new Promise<true>((resolve) => setTimeout(resolve, 500, true)),
    ]);
    if (waiting) {
      t.ok(client.bufferedAmount < 3 * 2 ** 20, `${client.bufferedAmount} bytes wait`);
      client.terminate();
      await sending;
    }
  }
  t.ok(waiting);
  await t.rejects(transport.send(Uint8Array.of(1)), { code: 'channel-closed' });
});
