/** The contract of a channel over real WebSockets and TLS, whatever does the cryptography on either side. */
import t from 'tap';
import { browserTransport } from '../../../shared/channel/browser-transport.ts';
import type { Transport } from '../../../shared/channel/transport.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { channelContract } from '../../unit/channel/channel-contract.ts';
import { PAIRINGS } from '../../unit/channel/peers.ts';
import { startWss } from './wss.ts';

const connect = await startWss(t);

async function pair(): Promise<[Transport, Transport]> {
  const { client, accepted } = connect();
  return [webSocketTransport(client), webSocketTransport(await accepted)];
}

for (const [name, pairing] of PAIRINGS)
  t.test(`B1, C2: over wss, ${name}`, (t) => {
    channelContract(t, pair, pairing);
    t.end();
  });

t.test('B1, C2: over wss, with the transport of a browser on one side', (t) => {
  channelContract(t, async () => {
    const { client, accepted } = connect();
    return [browserTransport(client), webSocketTransport(await accepted)];
  });
  t.end();
});
