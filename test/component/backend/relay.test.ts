import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { WebSocket } from 'ws';
import { utf8 } from '../../../shared/bytes.ts';
import { ReplayCache } from '../../../shared/channel/replay-cache.ts';
import { acceptChannel, openChannel } from '../../../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import type { RelayAddress } from '../../../shared/rest-api/vm-enrol.ts';
import { Fixture, type Person, until } from './fixture.ts';

interface Scene {
  fixture: Fixture;
  alice: Person;
  vmId: string;
  vm: Identity;
}

async function scene(t: Parameters<typeof Fixture.start>[0], config = {}): Promise<Scene> {
  const fixture = await Fixture.start(t, config);
  const alice = await fixture.firstPerson();
  const { agent } = await fixture.host(alice);
  const vmId = await fixture.vm(alice, 'work');
  return { fixture, alice, vmId, vm: await fixture.enrol(agent, vmId) };
}

const next = (socket: WebSocket) =>
  new Promise<{ data: Buffer; isBinary: boolean }>((resolve) => {
    socket.once('message', (data: Buffer, isBinary: boolean) => resolve({ data, isBinary }));
    socket.resume();
  });
const closed = (socket: WebSocket) =>
  new Promise<number>((resolve) => {
    socket.once('close', resolve);
    socket.resume();
  });
/** Parks a socket of which it is of no interest when it is cut. */
async function park({ fixture, vm, vmId }: Scene) {
  const client = fixture.client();
  const { relays, pass } = await client.renewPass(vm, vmId);
  const parked = await client.parkAtRelay(relays[0] as RelayAddress, vm, vmId, pass);
  parked.paired.catch(() => {});
  return parked;
}
const isReady = async ({ alice, vmId }: Scene) =>
  (await alice.client.call(routes.vmGet, { params: { vmId }, body: {} })).ready;

async function pair(it: Scene): Promise<{ user: WebSocket; vmSide: WebSocket }> {
  const { paired } = await park(it);
  const user = await it.alice.client.openRelayToVm(it.vmId);
  return { user, vmSide: await paired };
}

t.test('B1 C1: parks, pairs, and passes binary messages on unread, both ways', async (t) => {
  const it = await scene(t);
  t.notOk(await isReady(it));
  const parked = await park(it);
  await until(() => isReady(it));
  const user = await it.alice.client.openRelayToVm(it.vmId);
  const vmSide = await parked.paired;
  t.notOk(await isReady(it), 'the next one is not parked yet');
  const noise = crypto.getRandomValues(new Uint8Array(65_000));
  const atVm = next(vmSide);
  user.send(noise);
  t.strictSame(new Uint8Array((await atVm).data), noise);
  const atUser = next(user);
  vmSide.send(noise.subarray(5));
  t.strictSame(new Uint8Array((await atUser).data), noise.subarray(5));
  const ended = closed(user);
  vmSide.close();
  t.equal(await ended, 1000);
});

t.test('B1: nothing is lost when one end closes after sending', async (t) => {
  const it = await scene(t);
  const { user, vmSide } = await pair(it);
  const message = new Uint8Array(64 * 1024);
  let bytes = 0;
  user.on('message', (data: Buffer) => {
    bytes += data.length;
  });
  user.pause(); // so that much of it waits at the relay
  for (let i = 0; i < 200; i++) vmSide.send(message);
  vmSide.close();
  vmSide.resume();
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.equal(await closed(user), 1000);
  t.equal(bytes, 200 * message.length);
});

t.test('B1: back-pressure: a reader that stops stops the sender', async (t) => {
  const it = await scene(t);
  const { user, vmSide } = await pair(it);
  user.pause();
  const message = new Uint8Array(64 * 1024);
  // Far more than sockets and relay hold: it can only end by being stopped.
  let sent = 0;
  let stopped = false;
  const until80MiB = async () => {
    for (; sent < 1280 && !stopped; sent++) await new Promise<void>((resolve) => vmSide.send(message, () => resolve()));
  };
  const sending = until80MiB();
  let before = -1;
  await until(async () => {
    await new Promise((resolve) => setTimeout(resolve, 150));
    const same = sent === before;
    before = sent;
    return same;
  });
  t.ok(sent < 1280, `stopped after ${sent} messages`);
  stopped = true;
  let received = 0;
  user.on('message', () => {
    received++;
  });
  user.resume();
  await sending;
  await until(() => received === sent);
  t.equal(received, sent, 'and goes on where it was');
});

t.test('C2: an encrypted channel runs through it', async (t) => {
  const it = await scene(t);
  const { user, vmSide } = await pair(it);
  const accepting = acceptChannel(webSocketTransport(vmSide), {
    identity: it.vm,
    authorize: () => true,
    replayCache: new ReplayCache(),
  });
  vmSide.resume();
  const opening = openChannel(webSocketTransport(user), {
    identity: it.alice.identity,
    peer: it.vm.public.ed25519,
    purpose: 'control',
  });
  user.resume();
  const [a, b] = await Promise.all([opening, accepting]);
  await a.send(utf8('a marker'));
  t.strictSame(await b.receive(), utf8('a marker'));
  await a.close();
  t.equal(await b.receive(), undefined);
});

t.test('B1: not parked, not yours, not there, not signed in', async (t) => {
  const it = await scene(t);
  const { alice, fixture, vmId } = it;
  await t.rejects(alice.client.openRelayToVm(vmId), { code: 'unreachable', hint: /booting/ });
  await park(it);
  const bob = await fixture.invited(alice, 'bob');
  const admin = await fixture.invited(alice, 'carol', 'admin');
  await t.rejects(bob.client.openRelayToVm(vmId), { code: 'forbidden' });
  await t.rejects(admin.client.openRelayToVm(vmId), { code: 'forbidden' }, 'nor an administrator');
  await t.rejects(bob.client.openRelayToVm('vm-000000000000'), { code: 'forbidden' }, 'looks the same');
  await alice.client.signOut();
  await t.rejects(alice.client.openRelayToVm(vmId), { code: 'unauthenticated' });
});

t.test('B1: only the VM itself gets a pass, and parks with it', async (t) => {
  const { fixture, vmId, vm } = await scene(t);
  const client = fixture.client();
  const stranger = generateIdentity();
  await t.rejects(client.renewPass(stranger, vmId), { code: 'unauthenticated' });
  await t.rejects(client.renewPass(vm, 'vm-000000000000'), { code: 'unauthenticated' });
  const { relays, pass } = await client.renewPass(vm, vmId);
  const relay = relays[0] as RelayAddress;
  t.equal(relays.length, 1);
  t.strictSame(relay, { url: fixture.backend.url, pin: fixture.backend.pin });
  const park = (who: Identity, id: string, shown: Uint8Array) => client.parkAtRelay(relay, who, id, shown);
  await t.rejects(park(stranger, vmId, pass), { code: 'unauthenticated' }, 'a pass without its key');
  await t.rejects(park(vm, 'vm-000000000000', pass), { code: 'unauthenticated' }, 'a signature for another VM');
  for (const at of [6, 23, 40, 50, 100]) {
    const changed = pass.slice();
    changed[at] = (changed[at] ?? 0) ^ 1;
    await t.rejects(park(vm, vmId, changed), { code: 'unauthenticated' }, `byte ${at} changed`);
  }
  fixture.skewMs = 30 * 24 * 3_600_000 + 61_000;
  await t.rejects(park(vm, vmId, pass), { code: 'unauthenticated' }, 'a pass that has ended');
});

t.test('a user waits a moment for the next socket; text after pairing closes both', async (t) => {
  const it = await scene(t);
  const first = await pair(it);
  const waiting = it.alice.client.openRelayToVm(it.vmId);
  const { paired } = await park(it);
  await Promise.all([waiting, paired]);
  const ends = [closed(first.user), closed(first.vmSide)];
  first.user.send('text');
  t.strictSame(await Promise.all(ends), [1003, 1003]);
});

t.test('bounds: idle and paired sockets, and strangers in the door', async (t) => {
  const it = await scene(t, { relay: { idlePerVm: 2, pairedPerVm: 1, preAuth: 3 } });
  const { fixture, vmId, alice } = it;
  const parked = [];
  for (let i = 0; i < 3; i++) parked.push(await park(it));
  await t.rejects(Promise.resolve(parked[0]?.paired), { code: 'limit' }, 'the oldest had to go');
  await alice.client.openRelayToVm(vmId);
  await parked[2]?.paired;
  await t.rejects(alice.client.openRelayToVm(vmId), { code: 'limit' });

  const { openSocket } = await import('../../../shared/backend-client/websocket.ts');
  const { pinnedAgent } = await import('../../../shared/net/pinned-agent.ts');
  const agent = pinnedAgent(fixture.backend.pin);
  t.teardown(() => agent.destroy());
  const address = { url: fixture.backend.url, pin: fixture.backend.pin };
  const open = () => openSocket(address, '/v1/relay/vm', { agent });
  const oldest = await open();
  const wentAway = closed(oldest);
  const second = await open();
  await open();
  await open();
  t.ok(await wentAway, 'a newcomer takes the place of the oldest');
  const code = closed(second);
  second.send('{"type":"park"}');
  t.equal(await code, 4401);
});

t.test('deleting a VM cuts its sockets', async (t) => {
  const it = await scene(t);
  const { user } = await pair(it);
  const end = closed(user);
  await it.alice.client.call(routes.vmShutdown, { params: { vmId: it.vmId }, body: {} });
  await it.alice.client.call(routes.vmDelete, { params: { vmId: it.vmId }, body: {} });
  t.ok(await end);
});

t.test('the capture file: off by default; on, it has every byte, 0600, and the log says so', async (t) => {
  const quiet = await scene(t);
  await pair(quiet);
  t.notOk(quiet.fixture.logged.some((line) => /CAPTURE/.test(line.event)));
  t.notOk(existsSync(join(quiet.fixture.stateDir, 'relay.capture')));

  const folder = t.testdir({});
  const captureFile = join(folder, 'relay.capture');
  const loud = await scene(t, { relay: { captureFile } });
  t.ok(loud.fixture.logged.some((line) => /CAPTURE IS ON/.test(line.event)));
  const { user, vmSide } = await pair(loud);
  const atVm = next(vmSide);
  user.send(utf8('planted by the user'));
  await atVm;
  const atUser = next(user);
  vmSide.send(utf8('planted by the VM'));
  await atUser;
  const captured = readFileSync(captureFile, 'latin1');
  t.match(captured, /"type":"park".*planted by the user.*planted by the VM/s);
  t.equal(statSync(captureFile).mode & 0o777, 0o600);
});
