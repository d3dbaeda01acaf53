import t from 'tap';
import * as z from 'zod';
import { memoryPair } from '../../../shared/channel/transport.ts';
import { VmcError } from '../../../shared/errors.ts';
import { dispatcher } from '../../../shared/rpc/dispatch.ts';
import type { Method } from '../../../shared/rpc/method.ts';
import { RpcPeer, type RpcPeerOptions } from '../../../shared/rpc/peer.ts';

const define = <P extends z.ZodType, R extends z.ZodType>(
  name: string,
  params: P,
  result: R,
): Method<P, R, 'may' | 'may-not'> => ({
  name,
  summary: name,
  right: name === 'secret' ? 'may-not' : 'may',
  changes: false,
  params,
  result,
  progress: false,
});

const methods = {
  add: define('add', z.strictObject({ a: z.number(), b: z.number() }), z.object({ sum: z.number() })),
  fail: define('fail', z.strictObject({}), z.object({})),
  crash: define('crash', z.strictObject({}), z.object({})),
  slow: define('slow', z.strictObject({}), z.object({})),
  lie: define('lie', z.strictObject({}), z.object({ n: z.number() })),
  secret: define('secret', z.strictObject({}), z.object({})),
};

function pair(options: RpcPeerOptions = {}) {
  const [left, right] = memoryPair();
  const cancelled = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  const handle = dispatcher(
    methods,
    {
      add: async ({ a, b }) => ({ sum: a + b }),
      fail: async () => {
        throw new VmcError('busy', 'It is busy.', 'Wait.');
      },
      crash: async () => {
        throw new Error('the password is hunter2');
      },
      slow: async (_params, { signal, progress }) => {
        progress({ step: 'waiting', done: 1, total: 2 });
        started.resolve();
        await new Promise<void>((_, reject) =>
          signal.addEventListener('abort', () => reject(new VmcError('cancelled', 'Cancelled.'))),
        );
        return {};
      },
      lie: async () => ({ n: 'not a number' }) as unknown as { n: number },
      secret: async () => ({}),
    },
    (method) => {
      if (method.right !== 'may') throw new VmcError('forbidden', 'You may not.');
    },
    {},
  );
  const server = new RpcPeer(right, {
    ...options,
    handle: (method, params, context) => {
      context.signal.addEventListener('abort', () => cancelled.resolve());
      return handle(method, params, context);
    },
  });
  return { client: new RpcPeer(left), server, left, right, cancelled: cancelled.promise, started: started.promise };
}

t.test('a call is answered; errors keep code, message and hint', async (t) => {
  const { client } = pair();
  t.strictSame(await client.call(methods.add, { a: 2, b: 3 }), { sum: 5 });
  await t.rejects(client.call(methods.fail, {}), { code: 'busy', message: 'It is busy.', hint: 'Wait.' });
  await client.close();
});

t.test('a defect shows nothing of itself to the caller', async (t) => {
  const seen: unknown[] = [];
  const { client } = pair({ onInternalError: (_method, error) => seen.push(error) });
  const error = await client.call(methods.crash, {}).catch((error: unknown) => error);
  t.match(error, { code: 'internal' });
  t.notMatch(String((error as Error).message), /hunter2/);
  t.equal(seen.length, 1, 'it reaches the log of its own side once');
  await client.close();
});

t.test('rights are asked before parameters are looked at; both are refused', async (t) => {
  const { client } = pair();
  await t.rejects(client.call(methods.secret, 'nonsense' as never), { code: 'forbidden' });
  await t.rejects(client.call(methods.add, { a: 'x', b: 1 } as never), { code: 'bad-request', message: /a: / });
  await t.rejects(client.call(methods.add, { a: 1, b: 1, c: 1 } as never), {
    code: 'bad-request',
    message: /unknown key c/,
  });
  await t.rejects(client.call({ ...methods.add, name: 'toString' }, { a: 1, b: 1 }), { code: 'not-found' });
  await t.rejects(client.call(methods.lie, {}), { code: 'bad-data' }, 'an answer of another shape is no answer');
  await client.close();
});

t.test('progress arrives, and a cancel reaches the other side', async (t) => {
  const { client, cancelled, started } = pair();
  const abort = new AbortController();
  const steps: string[] = [];
  const call = client.call(methods.slow, {}, { signal: abort.signal, onProgress: ({ step }) => steps.push(step) });
  await started;
  abort.abort();
  await t.rejects(call, { code: 'cancelled' });
  await cancelled;
  t.strictSame(steps, ['waiting']);
  await client.close();
});

t.test('a call has a time limit, which cancels it at the other side', async (t) => {
  const { client, cancelled } = pair();
  await t.rejects(client.call(methods.slow, {}, { timeoutMs: 20 }), { code: 'timeout' });
  await cancelled;
  await client.close();
});

t.test('when the connection ends, what is under way says that its outcome is unknown', async (t) => {
  const { client, right, cancelled, started } = pair();
  const call = client.call(methods.slow, {});
  await started;
  right.close();
  await t.rejects(call, { code: 'channel-closed', hint: /not known/ });
  await cancelled;
  await t.rejects(client.call(methods.add, { a: 1, b: 1 }), { code: 'channel-closed' });
});

t.test('what is not JSON-RPC ends the connection', async (t) => {
  for (const bytes of [
    'nonsense',
    '[]',
    '{"jsonrpc":"1.0","id":1,"method":"add","params":{}}',
    '{"jsonrpc":"2.0","id":-1,"method":"add","params":{}}',
    '\xff',
  ]) {
    const { server, left } = pair();
    await left.send(Buffer.from(bytes, 'latin1'));
    await t.rejects(server.ended, { code: 'bad-data' }, bytes);
  }
});

t.test('more requests at once than allowed are refused, not queued', async (t) => {
  const { client } = pair({ maxConcurrent: 1 });
  const abort = new AbortController();
  const first = client.call(methods.slow, {}, { signal: abort.signal });
  await t.rejects(client.call(methods.add, { a: 1, b: 1 }), { code: 'limit' });
  abort.abort();
  await t.rejects(first, { code: 'cancelled' });
  await client.close();
});

t.test('a peer that asks and never reads the answers is cut off', async (t) => {
  for (const handle of [undefined, async () => 'x'.repeat(1000)]) {
    // One answer fills the line; the next ones wait.
    const [stranger, own] = memoryPair({ highWaterBytes: 1 });
    const peer = new RpcPeer(own, handle === undefined ? {} : { handle });
    const ask = async () => {
      for (let id = 1; id <= 2000; id++)
        await stranger.send(new TextEncoder().encode(JSON.stringify({ jsonrpc: '2.0', id, method: 'm', params: {} })));
    };
    await Promise.all([
      t.rejects(peer.ended, { code: 'limit' }),
      t.rejects(ask(), { code: 'channel-closed' }, 'not all 2000 are kept'),
    ]);
  }
});

t.test('B1: answers that wait to be sent are bounded in bytes, too', async (t) => {
  const [stranger, own] = memoryPair({ highWaterBytes: 1 });
  let asked = 0;
  const handle = async () => {
    asked++;
    return 'x'.repeat(700_000);
  };
  const peer = new RpcPeer(own, { handle });
  const ended = peer.ended.then(
    () => 'ended',
    (error: VmcError) => error.code,
  );
  const ask = async () => {
    // Never so many at once that their number alone is too much.
    for (let id = 1; id <= 200; id++) {
      await stranger.send(new TextEncoder().encode(JSON.stringify({ jsonrpc: '2.0', id, method: 'm', params: {} })));
      await new Promise(setImmediate);
    }
  };
  await t.rejects(ask(), { code: 'channel-closed' });
  t.equal(await ended, 'limit');
  t.ok(asked <= 25, `some 16 MiB, not 140 MB: ${asked} answers`);
});
