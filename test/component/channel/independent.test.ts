/** The text suffices: an initiator that was written from docs/protocol.md alone talks to the real responder. */

import { on, once } from 'node:events';
import { readFileSync } from 'node:fs';
import t from 'tap';
import type WebSocket from 'ws';
import { ReplayCache } from '../../../shared/channel/replay-cache.ts';
import { acceptChannel } from '../../../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { alice, PAIRINGS, vm } from '../../unit/channel/peers.ts';
import { type Line, openIndependently } from './independent-peer.ts';
import { startWss } from './wss.ts';

const connect = await startWss(t);

function lineOver(socket: WebSocket): Line {
  const messages = on(socket, 'message', { close: ['close'] });
  return {
    send: (message) => socket.send(message),
    async receive() {
      const { value, done } = await messages.next();
      if (done) throw new Error('the connection ended');
      return value[0] as Buffer;
    },
  };
}

t.test('it imports nothing of this project', async (t) => {
  const text = readFileSync(new URL('independent-peer.ts', import.meta.url), 'utf8');
  t.same(
    [...text.matchAll(/from '([^']+)'/g)].map(([, from]) => from),
    ['node:crypto'],
  );
});

const limits = { records: 6, bytes: 200_000 };

for (const [name, { responder: cryptography }] of PAIRINGS.slice(0, 2))
  t.test(`C2: a handshake, an echo of every size with key updates, and a close over wss, ${name}`, async (t) => {
    const { client, accepted } = connect();
    const line = lineOver(client);
    const [there] = await Promise.all([accepted, once(client, 'open')]);
    const serving = (async () => {
      const channel = await acceptChannel(webSocketTransport(there), {
        identity: vm,
        authorize: (peer) => Buffer.compare(peer, alice.public.ed25519) === 0,
        replayCache: new ReplayCache(),
        cryptography,
        limits,
      });
      for (let m = await channel.receive(); m !== undefined; m = await channel.receive()) await channel.send(m);
      await channel.close();
      return channel.purpose;
    })();
    const channel = await openIndependently(line, {
      ed25519Seed: alice.secret.ed25519,
      responder: vm.public.ed25519,
      purpose: 3,
      limits,
    });
    for (const [i, size] of [0, 1, 65_536, 65_537, 1_048_576, 5, 5, 5, 5, 5, 5].entries()) {
      const message = Buffer.alloc(size, i + 1);
      channel.send(message);
      t.ok((await channel.receive())?.equals(message), `${size} bytes`);
    }
    channel.close();
    t.equal(await channel.receive(), undefined, 'the close is answered');
    t.equal(await serving, 'files');
    client.terminate();
  });
