/** Peers that break WebSocket's rules at a relay that runs by itself: they are cut, and others are served. */
import { once } from 'node:events';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import t, { type Test } from 'tap';
import type { WebSocket } from 'ws';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import { openSocket, receiveText } from '../../../shared/backend-client/websocket.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { toBase64 } from '../../../shared/names.ts';
import { pinnedAgent } from '../../../shared/net/pinned-agent.ts';
import { makePass, makeTicket } from '../../../shared/relay/ticket.ts';
import { until } from '../backend/fixture.ts';
import { parseMetrics } from '../backend/parse-metrics.ts';
import { RelayProcess } from '../backend/relay-process.ts';
import { usage } from '../life/real-system.ts';
import { FORBIDDEN, rawFrame, rawFrames, takeOver } from './raw-frames.ts';

const CUT_MS = 8_000;
const PATIENCE_MS = 20_000;
const MOST_GROWTH_MIB = 96;
const office = generateIdentity();
const vm = generateIdentity();
const OWNER = 'user-0123456789ab';
const VM_ID = 'vm-0123456789ab';

const relay = new RelayProcess(join(t.testdir(), 'relay'), toBase64(office.public.ed25519));
t.teardown(() => relay.stop());
await relay.start();
const { url, pin } = relay;
const client = new BackendClient({ url, pin });
t.teardown(() => client.close());
const agent = pinnedAgent(pin, { keepAlive: false });

async function park(vmId = VM_ID) {
  const bounds = { ownerId: OWNER, vmId, expiresAt: Date.now() + 60_000 };
  const pass = makePass(office.secret.ed25519, { ...bounds, vmKey: vm.public.ed25519 });
  const parked = await client.parkAtRelay({ url, pin }, vm, vmId, pass);
  parked.paired.catch(() => {});
  return parked;
}

async function pair() {
  const parked = await park();
  const nonce = crypto.getRandomValues(new Uint8Array(16));
  const bounds = { userId: OWNER, vmId: VM_ID, expiresAt: Date.now() + 60_000 };
  const ticket = makeTicket(office.secret.ed25519, { ...bounds, nonce, relayPin: pin });
  const text = Buffer.from(ticket).toString('base64url');
  const user = await openSocket({ url, pin }, '/v1/relay/user', { agent, ticket: text });
  await receiveText(user, PATIENCE_MS);
  return { user, vmSide: await parked.paired };
}

/** Two honest ones, from nothing to a byte that arrives. */
async function honest(t: Test): Promise<void> {
  const { user, vmSide } = await pair();
  const arrives = once(vmSide, 'message', { signal: AbortSignal.timeout(PATIENCE_MS) });
  vmSide.resume();
  user.send(Buffer.from('hello'));
  t.equal(String((await arrives)[0]), 'hello', 'honest peers are served');
  user.terminate();
  vmSide.terminate();
}

/** Resolves when the other side has ended the connection, or fails. */
async function cut(raw: Duplex): Promise<void> {
  const signal = AbortSignal.timeout(CUT_MS);
  raw.resume();
  await Promise.race([once(raw, 'end', { signal }), once(raw, 'close', { signal })]).catch((error: unknown) => {
    if (signal.aborted) throw error;
  });
  raw.destroy();
}

await pair().then(({ user, vmSide }) => [user, vmSide].forEach((it) => void it.terminate()));
await until(async () => (await pairs()) === 0, PATIENCE_MS);
const before = usage(relay.pid);

async function pauses(): Promise<number> {
  return (
    parseMetrics(await relay.metrics())
      .get('vmc_relay_pauses_total')
      ?.samples.get('direction="to_vm"') ?? 0
  );
}

async function pairs(): Promise<number> {
  return (
    parseMetrics(await relay.metrics())
      .get('vmc_relay_pairs')
      ?.samples.get('') ?? 0
  );
}

/** @param others those to be ended with it. */
async function all(t: Test, come: () => Promise<{ hostile: WebSocket; others: WebSocket[] }>) {
  for (const [name, frames] of Object.entries(FORBIDDEN)) {
    const { hostile, others } = await come();
    const raw = takeOver(hostile);
    raw.write(rawFrames('client', frames));
    await t.resolves(cut(raw), name);
    for (const socket of others) socket.terminate();
  }
  await honest(t);
}

t.test('B1: before it has shown who it is', (t) =>
  all(t, async () => ({ hostile: await openSocket({ url, pin }, '/v1/relay/vm', { agent }), others: [] })),
);

t.test('B1: as a person who is paired', (t) =>
  all(t, async () => {
    const { user, vmSide } = await pair();
    return { hostile: user, others: [vmSide] };
  }),
);

t.test('B1: as a VM that is paired', (t) =>
  all(t, async () => {
    const { user, vmSide } = await pair();
    return { hostile: vmSide, others: [user] };
  }),
);

/** Writes it over and over, and reads nothing; until `enough`, the end of the connection, or `most` bytes. */
async function flood(raw: Duplex, bytes: Buffer, most: number, enough: AbortSignal): Promise<void> {
  raw.pause();
  for (let sent = 0; sent < most && !raw.destroyed && !enough.aborted; sent += bytes.length) {
    if (raw.write(bytes)) continue;
    const over = AbortSignal.any([enough, AbortSignal.timeout(PATIENCE_MS)]);
    await Promise.race([once(raw, 'drain', { signal: over }), once(raw, 'close', { signal: over })]).catch(() => {});
  }
}

const grown = () => usage(relay.pid).residentMiB - before.residentMiB;

t.test('B1: pings by the million from who does not read the answers', async (t) => {
  const { user, vmSide } = await pair();
  const pings = Buffer.concat(Array(500).fill(rawFrame('client', { first: 0x89, payload: Buffer.alloc(125) })));
  const raw = takeOver(user);
  await flood(raw, pings, 64 * 1024 * 1024, AbortSignal.timeout(PATIENCE_MS));
  t.ok(grown() < MOST_GROWTH_MIB, `the relay grew by ${Math.round(grown())} MiB`);
  raw.destroy();
  vmSide.terminate();
  await honest(t);
});

t.test('B1: empty messages by the million to who does not read', async (t) => {
  const { user, vmSide } = await pair();
  vmSide.pause();
  const raw = takeOver(user);
  const enough = new AbortController();
  const empty = Buffer.concat(Array(5_000).fill(rawFrame('client', { first: 0x82 })));
  const flooding = flood(raw, empty, 96 * 1024 * 1024, enough.signal);
  await until(async () => (await pauses()) > 0, PATIENCE_MS); // the relay reads no more of it
  enough.abort();
  await flooding;
  t.ok(grown() < MOST_GROWTH_MIB, `the relay grew by ${Math.round(grown())} MiB`);
  raw.destroy();
  vmSide.terminate();
  await honest(t);
});

t.test('B1: afterwards nothing is left of them', async (t) => {
  await until(async () => (await pairs()) === 0, PATIENCE_MS);
  await until(() => usage(relay.pid).descriptors <= before.descriptors + 2, PATIENCE_MS); // the client's and the metrics' kept-alive ones
  t.pass('all descriptors have come back');
});
