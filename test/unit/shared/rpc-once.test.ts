/** C1: what the envelope of a request that changes something carries, and what a call is told when it loses its caller. */
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import * as z from 'zod';
import { memoryPair } from '../../../shared/channel/transport.ts';
import { VmcError } from '../../../shared/errors.ts';
import { parseRpcMessage } from '../../../shared/rpc/messages.ts';
import type { Method } from '../../../shared/rpc/method.ts';
import { type HandleContext, LIFE, newRequestId, RpcPeer } from '../../../shared/rpc/peer.ts';

const define = (name: string, changes: boolean): Method => ({
  name,
  summary: name,
  right: 'may',
  changes,
  params: z.strictObject({}),
  result: z.null(),
  progress: true,
});
const read = define('read', false);
const change = define('change', true);

function setUp(answer: (context: HandleContext) => Promise<unknown> = async () => null) {
  const [left, right] = memoryPair();
  const seen: HandleContext[] = [];
  const server = new RpcPeer(right, {
    greeting: { instance: 'one', accepted: 3 },
    handle: (_method, _params, context) => {
      seen.push(context);
      return answer(context);
    },
  });
  return { client: new RpcPeer(left), server, seen, left };
}

t.test(
  'the greeting comes first; a changing request has an id of its own and says after which it was sent',
  async (t) => {
    const { client, seen } = setUp(async ({ tellAccepted }) => {
      tellAccepted?.(9);
      return null;
    });
    t.same(await client.greeting, { instance: 'one', accepted: 3 });
    await client.call(read, {});
    t.match(seen[0], { requestId: undefined, after: undefined });
    t.equal(client.accepted, 9);
    await client.call(change, {});
    await client.call(change, {});
    t.match(seen[1], { requestId: /^[0-9a-f]{32}$/, after: 9 });
    t.not(seen[1]?.requestId, seen[2]?.requestId);
    const requestId = newRequestId();
    await client.call(change, {}, { requestId, after: 3 });
    t.match(seen[3], { requestId, after: 3 });
    await client.close();
  },
);

t.test('an error tells the count too', async (t) => {
  const { client } = setUp(async ({ tellAccepted }) => {
    tellAccepted?.(5);
    throw new VmcError('busy', 'No.');
  });
  await t.rejects(client.call(change, {}), { code: 'busy' });
  t.equal(client.accepted, 5);
  await client.close();
});

t.test('a call knows whether its caller cancelled, left or was cut off', async (t) => {
  const ends = {
    cancelled: (_client: RpcPeer, _cut: () => void, cancel: () => void) => cancel(),
    left: (client: RpcPeer) => void client.close(),
    cut: (_client: RpcPeer, cut: () => void) => cut(),
  };
  for (const [how, end] of Object.entries(ends)) {
    const started = Promise.withResolvers<HandleContext>();
    const [left, right] = memoryPair();
    const pipe = {
      send: right.send,
      close: right.close,
      receive: async () => {
        const message = await right.receive();
        // A channel tells a goodbye from a cut; this transport alone does not.
        if (message === undefined && how === 'cut') throw new VmcError('channel-closed', 'It was cut.');
        return message;
      },
    };
    const server = new RpcPeer(pipe, {
      handle: async (_method, _params, context) => {
        started.resolve(context);
        await new Promise((resolve) => context.signal.addEventListener('abort', resolve));
        return null;
      },
    });
    const client = new RpcPeer(left);
    const abort = new AbortController();
    const call = client.call(change, {}, { signal: abort.signal });
    call.catch(() => {});
    const { signal } = await started.promise;
    const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve));
    end(
      client,
      () => left.close(),
      () => abort.abort(),
    );
    await aborted;
    t.match(signal.reason, { code: how === 'cut' ? 'channel-closed' : 'cancelled' }, how);
    await client.close();
    await server.ended.catch(() => {});
  }
});

t.test('who waits for a greeting hears that the connection ended', async (t) => {
  const [left, right] = memoryPair();
  const client = new RpcPeer(left);
  const greeting = client.greeting;
  await turn();
  right.close();
  await t.rejects(greeting, { code: 'channel-closed' });
  t.equal(client.closed, true);
});

t.test('ids and counts are checked as they arrive', async (t) => {
  const parse = (fields: object) =>
    parseRpcMessage(
      new TextEncoder().encode(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'm', params: {}, ...fields })),
    );
  t.match(parse({ requestId: 'ab'.repeat(16), after: 0 }), { requestId: 'ab'.repeat(16), after: 0 });
  for (const bad of [
    { requestId: 'ab' },
    { requestId: 'AB'.repeat(16) },
    { after: -1 },
    { after: 1.5 },
    { requestId: 1 },
  ])
    t.equal(parse(bad), undefined, JSON.stringify(bad));
});

t.test('C1 a side that says nothing any more is given up; one that is there, idle or slow, is kept', async (t) => {
  t.ok(LIFE.deadMs + LIFE.lookMs <= 30_000, 'with the times in use, within 30 s');
  t.ok((LIFE.aliveMs + LIFE.lookMs) * 2 < LIFE.deadMs, 'one of its signs may be late');
  const life = { lookMs: 10, aliveMs: 20, deadMs: 1500 };
  const keepRunning = setTimeout(() => {}, 60_000); // the timers of a peer keep no process alive
  t.teardown(() => clearTimeout(keepRunning));

  const [left, right] = memoryPair();
  const near = new RpcPeer(left, { life });
  const call = near.call(change, {});
  let swallowed = 0;
  const swallow = (async () => {
    while ((await right.receive()) !== undefined) swallowed++;
  })();
  await t.rejects(call, { code: 'channel-closed' });
  await swallow;
  t.ok(swallowed > 2, 'it said that it was alive itself');
  t.equal(near.closed, true);

  const both = memoryPair();
  const [ann, bob] = both.map((pipe) => new RpcPeer(pipe, { life })) as [RpcPeer, RpcPeer];
  const slow = memoryPair();
  const waiting = new RpcPeer(slow[0], { life });
  const arriving = setInterval(() => waiting.heard(), 50); // a long message, bit by bit
  t.teardown(() => clearInterval(arriving));
  await new Promise((resolve) => setTimeout(resolve, 2000));
  t.same([ann.closed, bob.closed, waiting.closed], [false, false, false]);
  await Promise.all([ann.close(), bob.close(), waiting.close()]);
});
