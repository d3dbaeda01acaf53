/** Requests with an id, as a hostile person sends and repeats them: what changes something runs once (C1). */
import { setImmediate as turn } from 'node:timers/promises';
import { controlMethods } from '../../../shared/api/index.ts';
import { dispatcher, type RunOnce } from '../../../shared/rpc/dispatch.ts';
import { parseRpcMessage } from '../../../shared/rpc/messages.ts';
import type { Implementation } from '../../../shared/rpc/method.ts';
import { RpcPeer } from '../../../shared/rpc/peer.ts';
import { RequestMemory } from '../../../vmc/requests/request-memory.ts';
import { asRefusal, bytesOf, insist, type Target, textOf, type Verdict } from '../target.ts';

const ALICE = 'alice';
const MAX_MESSAGES = 40;
const idOf = (digit: string) => digit.repeat(32);
const request = (id: number, method: string, params: unknown, more: object = {}) => ({
  jsonrpc: '2.0',
  id,
  method,
  params,
  ...more,
});
const close = { driveId: 'drv0123456789abcdef' };
const seeds = [
  [request(1, 'drive.close', close, { requestId: idOf('a'), after: 0 }), request(2, 'system.ping', {})],
  [1, 2, 3].map((id) => request(id, 'drive.close', close, { requestId: idOf('a'), after: id % 2 })),
  ['a', 'b', 'c', 'd', 'a', 'b'].map((digit, id) =>
    request(id, 'drive.close', close, { requestId: idOf(digit), after: id < 4 ? id : 0 }),
  ),
  [
    request(1, 'drive.trim', close, { requestId: idOf('0'), after: 0 }),
    request(2, 'drive.close', close, { requestId: idOf('0'), after: 0 }),
    { jsonrpc: '2.0', method: '$cancel', params: { id: 1 } },
  ],
  [
    { jsonrpc: '2.0', method: '$hello', params: { instance: idOf('f'), accepted: 3 } },
    { jsonrpc: '2.0', method: '$alive', params: {} },
    { jsonrpc: '2.0', id: 1, result: {}, accepted: 2 },
    { jsonrpc: '2.0', id: 2, error: { code: -32000, message: 'x' }, accepted: 9 },
  ],
];

const nothing = new Proxy({} as Implementation<typeof controlMethods, object>, { get: () => async () => ({}) });

/** A list of messages in JSON; anything else is one message as it is. */
function messagesOf(input: Uint8Array): Uint8Array[] {
  try {
    const list: unknown = JSON.parse(textOf(input));
    if (Array.isArray(list)) return list.slice(0, MAX_MESSAGES).map((it) => bytesOf(JSON.stringify(it)));
  } catch {
    // bytes that are no JSON
  }
  return [input];
}

async function send(messages: readonly Uint8Array[]): Promise<Verdict> {
  const memory = new RequestMemory({ perPerson: 3, inAll: 3 });
  const ran = new Map<string, number>();
  const runOnce: RunOnce = (it, work) =>
    memory.once(ALICE, it, (context) => {
      const { requestId = '', after = -1 } = it.context;
      insist(/^[0-9a-f]{32}$/.test(requestId) && Number.isSafeInteger(after) && after >= 0, 'an id and a number');
      // Who says another `after` when asking again gives the promise up: it is of a person's own requests, sent again as they were.
      const request = `${requestId} ${after}`;
      ran.set(request, (ran.get(request) ?? 0) + 1);
      return work(context);
    });
  const queue = [...messages];
  let sent = 0;
  const peer = new RpcPeer(
    {
      receive: async () => queue.shift(),
      send: async () => {
        sent++;
      },
      close() {},
    },
    {
      handle: dispatcher(controlMethods, nothing, () => {}, {}, runOnce),
      greeting: memory.greeting(ALICE),
      onInternalError: (method, error) => insist(false, `${method} failed inside: ${String(error)}`),
    },
  );
  const ended = await peer.ended.then(
    () => 'accepted' as const,
    (error: unknown) => asRefusal(error),
  );
  await turn();
  insist(
    [...ran.values()].every((times) => times === 1),
    'what is sent again as it was runs once',
  );
  insist(memory.size <= 3 && sent <= 2 * messages.length + 1, 'what is remembered and answered is bounded');
  memory.close();
  return ended === 'accepted' ? (ran.size > 0 ? 'accepted' : 'refused:nothing ran') : ended;
}

export const requestTargets: Target[] = [
  {
    name: 'rpc/requests',
    from: 'peer',
    form: 'json',
    weight: 1,
    maxBytes: 65_536,
    open: () => ({ seeds: seeds.map(bytesOf), run: (input) => send(messagesOf(input)) }),
  },
  {
    name: 'rpc/envelope',
    from: 'peer',
    form: 'json',
    weight: 3,
    maxBytes: 65_536,
    open: () => ({
      seeds: seeds.flat().map(bytesOf),
      run: (input) => {
        const message = parseRpcMessage(input);
        if (message === undefined) return 'refused:no message';
        const { id, after, accepted, requestId } = message as unknown as Record<string, unknown>;
        for (const number of [id, after, accepted])
          insist(number === undefined || (Number.isSafeInteger(number) && (number as number) >= 0), 'a number');
        insist(requestId === undefined || /^[0-9a-f]{32}$/.test(String(requestId)), 'an id of 16 bytes');
        return 'accepted';
      },
    }),
  },
];
