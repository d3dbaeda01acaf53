import t from 'tap';
import { HandshakeGate } from '../../../shared/channel/handshake-gate.ts';
import { FRESHNESS_MS } from '../../../shared/channel/limits.ts';
import { HandshakeRefused } from '../../../shared/channel/refusal.ts';
import { ReplayCache } from '../../../shared/channel/replay-cache.ts';
import {
  type AcceptOptions,
  acceptChannel,
  type OpenOptions,
  openChannel,
} from '../../../shared/channel/run-handshake.ts';
import { memoryPair, type Transport } from '../../../shared/channel/transport.ts';
import { alice, mallory, newInitiator, vm } from './peers.ts';

const accepting = (overrides: Partial<AcceptOptions> = {}): AcceptOptions => ({
  identity: vm,
  authorize: (peer) => Buffer.compare(peer, alice.public.ed25519) === 0,
  replayCache: new ReplayCache(),
  ...overrides,
});
const opening = (overrides: Partial<OpenOptions> = {}): OpenOptions => ({
  identity: alice,
  peer: vm.public.ed25519,
  purpose: 'control',
  ...overrides,
});

async function refusal(attempt: Promise<unknown>): Promise<HandshakeRefused> {
  const error = await attempt.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (error instanceof HandshakeRefused) return error;
  throw new Error(`not refused: ${error}`);
}

/** Both sides' reasons. */
async function bothRefuse(open: OpenOptions, accept: AcceptOptions) {
  const [ours, theirs] = memoryPair();
  const [a, b] = await Promise.all([refusal(openChannel(ours, open)), refusal(acceptChannel(theirs, accept))]);
  return { initiator: a, responder: b };
}

/** Sends one message to an acceptor. @returns the refusal, and that the sender saw nothing but the end. */
async function accept(first: Uint8Array, options: AcceptOptions) {
  const [ours, theirs] = memoryPair();
  await ours.send(first);
  const refused = await refusal(acceptChannel(theirs, options));
  return { refused, seen: await ours.receive() };
}

t.test('C2: an unknown person is refused by name, in the audit log only', async (t) => {
  const { initiator, responder } = await bothRefuse(opening({ identity: mallory }), accepting());
  t.match(responder, { reason: 'unknown-person', code: 'forbidden' });
  t.same(responder.proven, { peer: mallory.public.ed25519, purpose: 'control' });
  t.match(initiator, { reason: 'closed', code: 'channel-closed' });
  t.notMatch(initiator.message, /unknown|right to/);
});

t.test('C2: rights are for a purpose', async (t) => {
  const { responder } = await bothRefuse(
    opening({ purpose: 'terminal' }),
    accepting({ authorize: (_, purpose) => purpose === 'files' }),
  );
  t.match(responder, { reason: 'unknown-person', proven: { purpose: 'terminal' } });
});

t.test('C2: whoever is refused, and why, a stranger sees the same: nothing', async (t) => {
  const hello = await newInitiator().writeHello(Date.now());
  const bad = hello.slice();
  bad[1393] = (bad[1393] ?? 0) ^ 1;
  const old = await newInitiator().writeHello(Date.now() - FRESHNESS_MS - 1000);
  const replayCache = new ReplayCache();
  const cases: [Uint8Array, string][] = [
    [Uint8Array.of(1, 2, 3), 'malformed'],
    [new Uint8Array(0), 'malformed'],
    [new Uint8Array(65_000), 'malformed'],
    [bad, 'bad-signature'],
    [old, 'stale'],
    [await newInitiator({ peer: mallory }).writeHello(Date.now()), 'wrong-recipient'],
    [await newInitiator({ identity: vm }).writeHello(Date.now()), 'reflected'],
  ];
  for (const [first, reason] of cases) {
    const { refused, seen } = await accept(first, accepting({ replayCache }));
    t.equal(refused.reason, reason);
    t.equal(refused.proven, undefined, 'nobody is named without a proof');
    t.equal(seen, undefined);
  }
  t.equal(replayCache.size, 0, 'and nothing is remembered of it');
});

t.test('C2: a replayed hello is refused, also when both copies come at once', async (t) => {
  const hello = await newInitiator().writeHello(Date.now());
  const replayCache = new ReplayCache();
  const slow = accepting({ replayCache, authorize: () => new Promise((resolve) => setImmediate(resolve, true)) });
  const first = memoryPair();
  const second = memoryPair();
  await Promise.all([first[0].send(hello), second[0].send(hello)]);
  const outcomes = [
    acceptChannel(first[1], { ...slow, deadlineMs: 200 }),
    acceptChannel(second[1], { ...slow, deadlineMs: 200 }),
  ];
  const reasons = (await Promise.all(outcomes.map(refusal))).map(({ reason }) => reason).sort();
  t.same(reasons, ['replayed', 'timeout'], 'one goes on and waits for a confirmation that nobody can make');
  t.equal((await accept(hello, accepting({ replayCache }))).refused.reason, 'replayed');
});

t.test('a full memory of hellos refuses', async (t) => {
  const { responder } = await bothRefuse(opening(), accepting({ replayCache: new ReplayCache({ maxPerPeer: 0 }) }));
  t.match(responder, { reason: 'too-many', code: 'limit' });
});

t.test('the pinned identity must answer', async (t) => {
  const [ours, theirs] = memoryPair();
  const attempt = refusal(openChannel(ours, opening({ peer: mallory.public.ed25519 })));
  t.equal((await refusal(acceptChannel(theirs, accepting()))).reason, 'wrong-recipient');
  t.equal((await attempt).reason, 'closed');
});

t.test('a silent side meets the deadline, and the connection ends', async (t) => {
  const [ours, theirs] = memoryPair();
  t.match(await refusal(acceptChannel(theirs, accepting({ deadlineMs: 30 }))), { reason: 'timeout', code: 'timeout' });
  t.equal(await ours.receive(), undefined);
  const [other] = memoryPair();
  t.match(await refusal(openChannel(other, opening({ deadlineMs: 30 }))), { reason: 'timeout' });
});

t.test('after the deadline a late yes changes nothing', async (t) => {
  const replayCache = new ReplayCache();
  const late = Promise.withResolvers<boolean>();
  const [ours, theirs] = memoryPair();
  await ours.send(await newInitiator().writeHello(Date.now()));
  const refused = await refusal(
    acceptChannel(theirs, accepting({ replayCache, deadlineMs: 30, authorize: () => late.promise })),
  );
  t.match(refused, { reason: 'timeout', proven: { purpose: 'control' } });
  late.resolve(true);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(replayCache.size, 0);
  t.equal(await ours.receive(), undefined);
});

t.test('it can be cancelled, before and under way', async (t) => {
  t.match(await refusal(openChannel(memoryPair()[0], opening({ signal: AbortSignal.abort() }))), {
    reason: 'cancelled',
  });
  const abort = new AbortController();
  const [ours, theirs] = memoryPair();
  const attempt = refusal(openChannel(ours, opening({ signal: abort.signal })));
  await theirs.receive();
  abort.abort();
  t.match(await attempt, { reason: 'cancelled', code: 'cancelled' });
  t.equal(await theirs.receive(), undefined);
});

t.test('a question of rights that fails is a no', async (t) => {
  const broken = new Error('database password is hunter2');
  const { responder } = await bothRefuse(
    opening(),
    accepting({
      authorize: () => {
        throw broken;
      },
    }),
  );
  t.match(responder, { reason: 'failed', code: 'internal', cause: broken });
  t.notMatch(responder.message, /hunter2/);
});

t.test('B1: at most so many handshakes run at once, and whoever only holds a place loses it to the next', async (t) => {
  const gate = new HandshakeGate(2);
  const held = [memoryPair(), memoryPair(), memoryPair()];
  const outcomes = held.map(([, theirs]) => refusal(acceptChannel(theirs, accepting({ gate }))));
  t.match(await outcomes[0], { reason: 'too-many' }, 'the oldest went for the third');
  t.equal(gate.size, 2);
  const honest = memoryPair();
  await Promise.all([openChannel(honest[0], opening()), acceptChannel(honest[1], accepting({ gate }))]);
  t.match(await outcomes[1], { reason: 'too-many' });
  t.equal(gate.size, 1, 'who is done gives the place back');
  held[2]?.[0].close();
  t.match(await outcomes[2], { reason: 'closed' });
  t.equal(gate.size, 0);
});

t.test('C1: a parked connection waits without a deadline: its first message is handed over', async (t) => {
  const [ours, theirs] = memoryPair();
  const open = openChannel(ours, opening());
  const firstMessage = await theirs.receive();
  const channel = await acceptChannel(theirs, accepting(firstMessage === undefined ? {} : { firstMessage }));
  t.same(channel.peer, alice.public.ed25519);
  (await open).abort();
});

t.test('a connection that breaks at any point of the handshake is a refusal on both sides', async (t) => {
  for (const cutAfterBytes of [0, 1393, 1394, 2691, 2692, 2741, 2742, 2791]) {
    const [ours, theirs] = memoryPair({ cutAfterBytes });
    const [a, b] = await Promise.all([
      refusal(openChannel(ours, opening())),
      refusal(acceptChannel(theirs, accepting())),
    ]);
    t.match([a.reason, b.reason], ['closed', 'closed'], `after ${cutAfterBytes} bytes`);
  }
});

t.test('a responder that is somebody else, or sends nonsense, is refused', async (t) => {
  const answerWith = async (answer: (hello: Uint8Array, transport: Transport) => Promise<unknown>) => {
    const [ours, theirs] = memoryPair();
    const attempt = refusal(openChannel(ours, opening()));
    await answer((await theirs.receive()) ?? new Uint8Array(0), theirs);
    return (await attempt).reason;
  };
  t.equal(await answerWith((hello, transport) => transport.send(hello)), 'malformed', 'its own hello');
  t.equal(await answerWith((_, transport) => transport.send(new Uint8Array(1298))), 'malformed');
});
