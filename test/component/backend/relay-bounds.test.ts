/** What a relay bears: strangers by the thousand, slow ones, a reader that does not read. */
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import type { WebSocket } from 'ws';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import { openSocket, receiveText } from '../../../shared/backend-client/websocket.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { toBase64 } from '../../../shared/names.ts';
import { pinnedAgent } from '../../../shared/net/pinned-agent.ts';
import { makePass, makeTicket } from '../../../shared/relay/ticket.ts';
import { until } from './fixture.ts';
import { parseMetrics } from './parse-metrics.ts';
import { RelayProcess } from './relay-process.ts';

const office = generateIdentity();
const vm = generateIdentity();
const seed = office.secret.ed25519;
const OWNER = 'user-0123456789ab';
const VM_ID = 'vm-0123456789ab';

async function startRelay(t: Test, config = ''): Promise<RelayProcess> {
  const relay = new RelayProcess(join(t.testdir(), 'relay'), toBase64(office.public.ed25519), config);
  t.teardown(() => relay.stop());
  return relay.start();
}

function makeParker(t: Test, relay: RelayProcess) {
  const client = new BackendClient({ url: relay.url, pin: relay.pin });
  t.teardown(() => client.close());
  return async (vmId = VM_ID, ownerId = OWNER) => {
    const pass = makePass(seed, { ownerId, vmId, expiresAt: Date.now() + 60_000, vmKey: vm.public.ed25519 });
    const parked = await client.parkAtRelay({ url: relay.url, pin: relay.pin }, vm, vmId, pass);
    parked.paired.catch(() => {});
    t.teardown(() => parked.close());
    return parked;
  };
}

/** A user's socket, before it is known whether it is paired. */
async function openUser(t: Test, relay: RelayProcess, { userId = OWNER, vmId = VM_ID } = {}): Promise<WebSocket> {
  const nonce = crypto.getRandomValues(new Uint8Array(16));
  const ticket = makeTicket(seed, { userId, vmId, expiresAt: Date.now() + 60_000, nonce, relayPin: relay.pin });
  const socket = await openSocket({ url: relay.url, pin: relay.pin }, '/v1/relay/user', {
    agent: pinnedAgent(relay.pin, { keepAlive: false }),
    ticket: Buffer.from(ticket).toString('base64url'),
  });
  t.teardown(() => socket.terminate());
  return socket;
}

async function pair(t: Test, relay: RelayProcess, park = makeParker(t, relay)) {
  const parked = await park();
  const user = await openUser(t, relay);
  await receiveText(user, 10_000);
  return { user, vmSide: await parked.paired };
}

/** As an attacker may have them: from one address, saying nothing. Resolves when all have been accepted by the kernel. */
async function halfOpen(t: Test, port: number, count: number, localAddress: (n: number) => string): Promise<Socket[]> {
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let batch = 0; batch < count; batch += 500)
    await Promise.all(
      Array.from({ length: Math.min(500, count - batch) }, async (_, n) => {
        const socket = connectTcp({ port, host: '127.0.0.1', localAddress: localAddress(batch + n) });
        socket.on('error', () => {});
        sockets.push(socket);
        const abort = AbortSignal.timeout(20_000);
        await Promise.race([once(socket, 'connect', { signal: abort }), once(socket, 'close', { signal: abort })]);
      }),
    );
  return sockets;
}

const value = async (relay: RelayProcess, name: string, labels = '') =>
  parseMetrics(await relay.metrics())
    .get(name)
    ?.samples.get(labels);

t.test(
  'B1: 10,000 half-open connections do not keep the owner out, nor do those from the owner’s own address',
  async (t) => {
    const relay = await startRelay(t);
    const park = makeParker(t, relay);
    await park();
    await halfOpen(t, relay.port, 9_000, (n) => `127.0.${1 + (n % 40)}.1`);
    await halfOpen(t, relay.port, 1_000, () => '127.0.0.1');
    t.ok(((await value(relay, 'vmc_preauth_connections')) ?? 0) <= 1024, 'what is kept of them is bounded');
    const user = await openUser(t, relay);
    t.strictSame(await receiveText(user, 10_000), { type: 'paired' });
    await park();
    t.ok(((await value(relay, 'vmc_connections_cut_total', 'reason="evicted"')) ?? 0) > 8_000);
  },
);

t.test('B1: one deadline for all stages together: TLS, the head of the request, the first message', async (t) => {
  const relay = await startRelay(t, '[relay]\npreAuthSeconds = 2');
  const started = performance.now();
  const tcp = connectTcp(relay.port, '127.0.0.1');
  const drip = async (socket: Socket | TLSSocket, text: string) => {
    let at = 0;
    const timer = setInterval(() => socket.write(text[at++ % text.length] ?? ' '), 300);
    socket.on('error', () => {});
    socket.resume();
    await once(socket, 'close');
    clearInterval(timer);
    return performance.now() - started;
  };
  const tls = connectTls({ port: relay.port, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
  const agent = pinnedAgent(relay.pin, { keepAlive: false });
  const socket = await openSocket({ url: relay.url, pin: relay.pin }, '/v1/relay/vm', { agent });
  const silent = new Promise((resolve) => socket.once('close', () => resolve(performance.now() - started)));
  socket.resume();
  const times = await Promise.all([
    drip(tcp, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
    drip(tls, 'GET /v1/relay/vm HTTP/1.1\r\nX-Slow: '),
    silent,
  ]);
  for (const ms of times) t.ok(Number(ms) < 9_000, `${Math.round(Number(ms))} ms: not for each stage anew`);
  t.ok(Number(times[2]) > 1_500, 'and not at once');
  t.equal(await value(relay, 'vmc_connections_cut_total', 'reason="late"'), 3);
});

t.test('B1: people who crowd a VM take their share of it, and never its owner’s', async (t) => {
  const relay = await startRelay(t, '[relay]\npairedPerVm = 8\npairedPerUser = 100');
  const park = makeParker(t, relay);
  const come = async (userId: string) => {
    await park();
    const socket = await openUser(t, relay, { userId });
    await receiveText(socket, 10_000);
  };
  const greedy = ['user-000000000001', 'user-000000000002', 'user-000000000003', 'user-000000000004'];
  for (const userId of greedy) {
    await come(userId);
    await come(userId);
    await t.rejects(come(userId), { code: 'limit' }, 'a quarter of the places is all for one');
  }
  await t.rejects(come('user-000000000005'), { code: 'limit' }, 'the VM has enough');
  await come(OWNER);
  await come(OWNER);
  await t.rejects(come(OWNER), { code: 'limit' });
});

t.test('B1: caps for each VM, owner and person; each kind of refusal is counted', async (t) => {
  const relay = await startRelay(
    t,
    '[relay]\nidlePerVm = 2\nidlePerOwner = 3\npairedPerVm = 2\npairedPerUser = 1\n[limits]\nrefusedPerMinute = 5',
  );
  const park = makeParker(t, relay);
  const first = await park();
  await park();
  await park();
  await t.rejects(Promise.resolve(first.paired), { code: 'limit' }, 'the oldest of the VM had to go');
  await park('vm-000000000001');
  await t.rejects(park('vm-000000000002'), { code: 'limit' }, 'the owner has enough');
  await park('vm-000000000003', 'user-000000000009');
  const one = await openUser(t, relay);
  await receiveText(one);
  const same = await openUser(t, relay);
  await t.rejects(receiveText(same), { code: 'limit' }, 'that person has enough');
  const other = await openUser(t, relay, { userId: 'user-000000000002' });
  await receiveText(other);
  const third = await openUser(t, relay, { userId: 'user-000000000003' });
  await t.rejects(receiveText(third), { code: 'limit' }, 'the VM has enough');
  const nobody = await openUser(t, relay, { userId: 'user-000000000004', vmId: 'vm-000000000077' });
  await t.rejects(receiveText(nobody), { code: 'unreachable' });

  const agent = pinnedAgent(relay.pin, { keepAlive: false });
  const address = { url: relay.url, pin: relay.pin };
  for (let i = 0; i < 5; i++)
    await t.rejects(openSocket(address, '/v1/relay/user', { agent, ticket: 'AAAA' }), { code: 'unauthenticated' });
  await t.rejects(openSocket(address, '/v1/relay/user', { agent, ticket: 'AAAA' }), { message: /429/ });
  await t.rejects(openSocket(address, '/elsewhere', { agent }), { message: /429/ });
  await park('vm-000000000003', 'user-000000000009');
  t.pass('who has a pass still comes in from there');

  const metrics = parseMetrics(await relay.metrics());
  const refused = Object.fromEntries(metrics.get('vmc_relay_refused_total')?.samples ?? []);
  t.strictSame(refused, {
    'reason="ticket"': 6,
    'reason="pass"': 0,
    'reason="not_parked"': 1,
    'reason="full"': 4,
    'reason="rate"': 2,
  });
  t.equal(metrics.get('vmc_relay_pairs')?.samples.get(''), 2);
  t.equal(metrics.get('vmc_relay_parked_sockets')?.samples.get(''), 3);
  t.equal(metrics.get('vmc_relay_accepted_total')?.samples.get('kind="user"'), 5);
  for (const [name, { samples }] of metrics)
    for (const labels of samples.keys()) t.notMatch(`${name} ${labels}`, /vm-[0-9a-f]{12}|user-|127\.0\.0/);
});

t.test('B1: a user who does not read stops the VM; the relay holds little of 200 MB that are offered', async (t) => {
  const relay = await startRelay(t);
  const { user, vmSide } = await pair(t, relay);
  user.pause();
  vmSide.resume();
  const before = await relay.rss();
  const message = Buffer.alloc(64 * 1024, 7);
  const offered = 3200;
  let sent = 0;
  let stopped = false;
  // A sender that goes on as fast as its own socket takes it.
  const sending = (async () => {
    for (; sent < offered && !stopped; sent++)
      await new Promise<void>((resolve) => vmSide.send(message, () => resolve()));
  })();
  await until(async () => ((await value(relay, 'vmc_relay_pauses_total', 'direction="to_user"')) ?? 0) > 0, 20_000);
  let last = -1;
  await until(async () => {
    await new Promise((resolve) => setTimeout(resolve, 300));
    const same = sent === last;
    last = sent;
    return same;
  }, 20_000);
  t.ok(sent < offered / 2, `stopped after ${sent} of ${offered} messages`);
  const grown = (await relay.rss()) - before;
  t.ok(grown < 48 * 1024 * 1024, `the relay grew by ${Math.round(grown / 1024)} KiB`);

  stopped = true;
  let received = 0;
  user.on('message', (data: Buffer) => {
    received += data.length;
  });
  user.resume();
  await sending;
  await until(() => received === sent * message.length, 20_000);
  t.pass('and when it reads, it gets every byte');
});

t.test('B1: the capture stops when the file is as large as it may be', async (t) => {
  const { Capture } = await import('../../../backend/relay/capture.ts');
  const { statSync } = await import('node:fs');
  const path = join(t.testdir(), 'capture');
  let full = 0;
  const capture = new Capture(path, 1000, () => full++);
  for (let i = 0; i < 5; i++) capture.write(new Uint8Array(300));
  t.equal(full, 1);
  t.equal(statSync(path).size, 900);
  capture.close();
  const again = new Capture(path, 1000, () => full++);
  again.write(new Uint8Array(101));
  t.equal(full, 2, 'what is there already counts');
  again.close();
});

t.test('the reader of metrics itself can fail', async (t) => {
  const good = '# HELP a_total Help.\n# TYPE a_total counter\na_total{x="1"} 2\n';
  t.equal(parseMetrics(good).get('a_total')?.samples.get('x="1"'), 2);
  for (const bad of [
    good.trimEnd(),
    good + good,
    good.replace('# HELP a_total Help.\n', ''),
    good.replaceAll('a_total', 'a'),
    good.replace('x="1"', 'x=1'),
    good.replace(' 2', ' many'),
    good.replace('a_total{', 'b_total{'),
  ])
    t.throws(() => parseMetrics(bad), bad);
});
