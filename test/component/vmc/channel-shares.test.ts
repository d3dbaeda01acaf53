/** B1: a person who takes all the channels that they can get keeps neither others nor the owner out. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { type WebSocket, WebSocket as WebSocketClient, WebSocketServer } from 'ws';
import { equalBytes } from '../../../shared/bytes.ts';
import { openChannel } from '../../../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import { RpcPeer } from '../../../shared/rpc/peer.ts';
import { ChannelServer } from '../../../vmc/channel-server/channel-server.ts';
import { Allowance } from '../../../vmc/requests/allowance.ts';

async function serve(t: Test, vm: Identity, owner: Identity, allowance?: Allowance) {
  const audited: { what: string; result: string }[] = [];
  const note = async (event: { what: string; result: string }) => void audited.push(event);
  const channels = new ChannelServer({
    identity: vm,
    rightsOf: () => new Set(),
    isOwner: (person) => equalBytes(person, owner.public.ed25519),
    greetingFor: () => ({ instance: 'x', accepted: 0 }),
    handleFor: () => async () => 'here',
    audit: { record: note, refuse: note },
    allowance,
    onInternalError: (_method, error) => t.fail(String(error)),
  });
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  server.on('connection', (socket: WebSocket) => void channels.serve(socket));
  await once(server, 'listening');
  t.teardown(async () => {
    for (const socket of server.clients) socket.terminate();
    await channels.close();
    server.close();
  });
  const dial = async () => {
    const socket = new WebSocketClient(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    await once(socket, 'open');
    return socket;
  };
  const greets = async (who: Identity) => {
    const transport = webSocketTransport(await dial());
    const channel = await openChannel(transport, { identity: who, peer: vm.public.ed25519, purpose: 'control' });
    const { greeting } = new RpcPeer(channel);
    return greeting.then(
      () => 'in',
      () => 'out',
    );
  };
  return { channels, dial, greets, audited };
}

t.test('channels that are opened again and again', async (t) => {
  const [vm, owner, ann] = [generateIdentity(), generateIdentity(), generateIdentity()];
  const { greets, audited } = await serve(t, vm, owner, new Allowance({ burst: 3, perMinute: 1 }));
  for (let i = 0; i < 3; i++) t.equal(await greets(ann), 'in');
  t.equal(await greets(ann), 'out', 'each leaves lines in the audit log');
  for (let i = 0; i < 5; i++) t.equal(await greets(owner), 'in');
  t.same(
    audited.filter(({ what }) => what === 'channel.refused').map(({ result }) => result),
    ['too-often'],
  );
});

t.test('a share of the channels for each person, and one beside for the owner; silent sockets hold none', async (t) => {
  const [vm, owner, ...people] = Array.from({ length: 8 }, generateIdentity) as [Identity, Identity, ...Identity[]];
  const { channels, dial, greets, audited } = await serve(t, vm, owner);
  const greetings = async (who: Identity, times: number) => {
    const outcomes = [];
    for (let i = 0; i < times; i++) outcomes.push(await greets(who));
    return outcomes;
  };

  const greedy = await greetings(people[0] as Identity, 18);
  t.same(greedy, [...Array(16).fill('in'), 'out', 'out'], 'sixteen for one person');
  for (const person of people.slice(1, 4)) t.notOk((await greetings(person, 16)).includes('out'));
  t.equal(channels.size, 64);
  t.equal(await greets(people[4] as Identity), 'out', 'there is no place left');
  t.equal(await greets(owner), 'in', 'but for the owner there always is');
  t.same(
    audited.filter(({ what }) => what === 'channel.refused').map(({ result }) => result),
    Array(3).fill('too-many-channels'),
  );

  // Paired, and then not a word: each would hold a handshake for ten seconds.
  await Promise.all(Array.from({ length: 40 }, dial));
  t.equal(await greets(owner), 'in');
});
