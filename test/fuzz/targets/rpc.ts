/** JSON-RPC on a control channel: from a person who is known and hostile, and from a VM that is. */
import { setImmediate as turn } from 'node:timers/promises';
import { controlMethods } from '../../../shared/api/index.ts';
import { MAX_MESSAGE } from '../../../shared/channel/limits.ts';
import { VmcError } from '../../../shared/errors.ts';
import { dispatcher } from '../../../shared/rpc/dispatch.ts';
import { parseRpcMessage } from '../../../shared/rpc/messages.ts';
import type { Implementation, Method } from '../../../shared/rpc/method.ts';
import { type MessagePipe, RpcPeer } from '../../../shared/rpc/peer.ts';
import { asRefusal, bytesOf, insist, type Target, textOf, verdict } from '../target.ts';

const driveId = 'drv0123456789abcdef';
const key = 'A'.repeat(43).concat('=');
/** One call of each method, with parameters that fit or nearly do. */
const calls = Object.values(controlMethods as Record<string, Method>).map((method, id) => ({
  jsonrpc: '2.0',
  id,
  method: method.name,
  params: { driveId, name: 'data', key, fileSystem: 'ext4', readOnly: false, certificateSha256: '0'.repeat(64) },
}));
const messages = [
  ...calls,
  { jsonrpc: '2.0', id: 90, method: 'system.ping', params: {} },
  { jsonrpc: '2.0', method: '$cancel', params: { id: 1 } },
  { jsonrpc: '2.0', method: '$progress', params: { id: 1, progress: { step: 'a', done: 1, total: 2, unit: 'bytes' } } },
  { jsonrpc: '2.0', id: 1, result: { a: [1] } },
  { jsonrpc: '2.0', id: 1, error: { code: -32000, message: 'x', data: { code: 'busy', message: 'x', hint: 'y' } } },
];

/** Gives what is in `incoming`, and then ends as a channel ends. */
function pipeOf(incoming: readonly Uint8Array[], sent: Uint8Array[]): MessagePipe {
  const queue = [...incoming];
  return {
    receive: async () => queue.shift(),
    async send(message) {
      if (message.length > MAX_MESSAGE) throw new VmcError('limit', 'too long');
      sent.push(message);
    },
    close() {},
  };
}

/** Messages are written one a line. */
const linesOf = (input: Uint8Array): Uint8Array[] => textOf(input).split('\n').map(bytesOf);

/** Methods that do nothing and answer nothing: what is tried is the way to them. */
const nothing = new Proxy({} as Implementation<typeof controlMethods, object>, {
  get: () => async () => ({}),
});

export const rpcTargets: Target[] = [
  {
    name: 'rpc/message',
    from: 'peer',
    form: 'json',
    weight: 3,
    maxBytes: 65_536,
    open: () => ({
      seeds: messages.map(bytesOf),
      run: (input) => {
        const message = parseRpcMessage(input);
        if (message === undefined) return 'refused:no message';
        if ('id' in message) insist(Number.isSafeInteger(message.id) && message.id >= 0, 'an id is a number');
        insist(Object.getPrototypeOf(message) === Object.prototype, 'a plain object');
        return 'accepted';
      },
    }),
  },
  {
    name: 'rpc/calls',
    from: 'peer',
    form: 'json',
    weight: 1,
    maxBytes: 65_536,
    open: () => ({
      seeds: messages.map(bytesOf),
      async run(input) {
        const sent: Uint8Array[] = [];
        const handle = dispatcher(controlMethods, nothing, () => {}, {});
        const peer = new RpcPeer(pipeOf(linesOf(input), sent), {
          handle,
          onInternalError: (method, error) => insist(false, `${method} failed inside: ${String(error)}`),
        });
        const ended = await peer.ended.then(
          () => 'accepted' as const,
          (error: unknown) => asRefusal(error),
        );
        await turn();
        insist(sent.length <= 2 * linesOf(input).length, 'at most an answer to each');
        return ended;
      },
    }),
  },
  {
    name: 'rpc/answers',
    from: 'peer',
    form: 'json',
    weight: 1,
    maxBytes: 65_536,
    open: () => ({
      seeds: [{ jsonrpc: '2.0', id: 1, result: { payload: 'x' } }, ...messages].map(bytesOf),
      async run(input) {
        const incoming = linesOf(input);
        const pipe = pipeOf(incoming, []);
        const receive = pipe.receive;
        const asked = Promise.withResolvers<void>();
        const peer = new RpcPeer({
          ...pipe,
          receive: async () => {
            await asked.promise;
            return receive();
          },
        });
        const call = peer.call(
          controlMethods.systemPing,
          { payload: 'x' },
          { onProgress: (progress) => insist(progress.step.length <= 200, 'a short step') },
        );
        asked.resolve();
        const answered = call.then(
          () => 'accepted' as const,
          (error: unknown) => {
            if (error instanceof VmcError && error.code === 'internal') return 'refused:internal' as const;
            // A hostile VM may say what it likes about itself: the CLI escapes it. How much is bounded by the message.
            if (error instanceof VmcError) return `refused:${error.code}` as const;
            throw error;
          },
        );
        await peer.ended.catch((error: unknown) => asRefusal(error));
        return answered;
      },
    }),
  },
];

export const controlParamTargets: Target[] = [
  {
    name: 'rpc/params',
    from: 'peer',
    form: 'json',
    weight: 3,
    maxBytes: 65_536,
    open: () => {
      const methods = Object.values(controlMethods as Record<string, Method>);
      return {
        seeds: calls.map(bytesOf),
        run: (input) =>
          verdict(() => {
            const message = parseRpcMessage(input);
            if (message?.kind !== 'request') return false;
            const method = methods.find(({ name }) => name === message.method);
            if (method === undefined) return false;
            for (const { params } of methods) params.safeParse(message.params);
            return method.params.safeParse(message.params).success;
          }),
      };
    },
  },
];
