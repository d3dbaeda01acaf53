/** A JSON-RPC 2.0 peer over whole messages: both sides may call, with progress, cancel, and bounds on all of it. */
import * as z from 'zod';
import { errorFromFields, publicError, VmcError } from '../errors.ts';
import { encodeRpc, parseRpcMessage, type RpcMessage } from './messages.ts';
import type { CallContext, Method, ParamsIn, Progress, ResultOut } from './method.ts';

/** Whole messages, in order. `receive` gives undefined after a proper end and throws after a cut. */
export interface MessagePipe {
  send(message: Uint8Array): Promise<void>;
  receive(): Promise<Uint8Array | undefined>;
  close(): Promise<void> | void;
}

export type Handle = (method: string, params: unknown, context: CallContext) => Promise<unknown>;

export interface RpcPeerOptions {
  /** Answers the other side's requests. Without it every request is refused. */
  handle?: Handle;
  /** Told once of each error that is not a VmcError, for the log. */
  onInternalError?: (method: string, error: unknown) => void;
  onNotification?: (method: string, params: unknown) => void;
  /** Requests of the other side that may run at once; more are refused with `limit`. Default 32. */
  maxConcurrent?: number;
}

export interface CallOptions {
  signal?: AbortSignal;
  /** Milliseconds to wait for the answer; default 60 000. The call is then cancelled at the other side too. */
  timeoutMs?: number;
  onProgress?: (progress: Progress) => void;
}

const progressSchema = z.object({
  id: z.number().int(),
  progress: z.object({
    step: z.string().max(200),
    done: z.number().optional(),
    total: z.number().optional(),
    unit: z.enum(['bytes', 'items']).optional(),
  }),
});
const cancelSchema = z.object({ id: z.number().int() });

interface Pending {
  resolve(result: unknown): void;
  reject(error: unknown): void;
  onProgress: ((progress: Progress) => void) | undefined;
}

const MAX_PENDING_CALLS = 256;
/** Answers that are being made or wait to be sent. A peer of ours never has so many: it bounds its pending calls. */
const MAX_PENDING_ANSWERS = MAX_PENDING_CALLS + 64;

export class RpcPeer {
  readonly #pipe: MessagePipe;
  readonly #options: RpcPeerOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #running = new Map<number, AbortController>();
  /** Settles when the pipe has ended: resolves after a proper end, rejects after a cut. */
  readonly ended: Promise<void>;
  #nextId = 1;
  #answering = 0;
  #closed = false;

  constructor(pipe: MessagePipe, options: RpcPeerOptions = {}) {
    this.#pipe = pipe;
    this.#options = options;
    this.ended = this.#receiveAll();
    this.ended.catch(() => {}); // whoever needs to know awaits `ended`
  }

  /** @throws VmcError: the other side's, or `timeout`, `cancelled`, `channel-closed` (outcome unknown). */
  async call<M extends Method>(method: M, params: ParamsIn<M>, options: CallOptions = {}): Promise<ResultOut<M>> {
    if (this.#closed) throw channelClosed(method.name);
    if (this.#pending.size >= MAX_PENDING_CALLS) throw new VmcError('limit', 'Too many requests are under way.');
    options.signal?.throwIfAborted();
    const id = this.#nextId++;
    const result = await new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, onProgress: options.onProgress });
      const stop = (error: VmcError) => {
        this.notify('$cancel', { id }).catch(() => {});
        reject(error);
      };
      const timeoutMs = options.timeoutMs ?? 60_000;
      const timer = setTimeout(
        () => stop(new VmcError('timeout', `${method.name}: no answer within ${Math.round(timeoutMs / 1000)} s.`)),
        timeoutMs,
      );
      const onAbort = () => stop(new VmcError('cancelled', `${method.name} was cancelled.`));
      options.signal?.addEventListener('abort', onAbort, { once: true });
      const settle = <T>(then: (value: T) => void) => {
        return (value: T) => {
          clearTimeout(timer);
          options.signal?.removeEventListener('abort', onAbort);
          this.#pending.delete(id);
          then(value);
        };
      };
      const pending = this.#pending.get(id) as Pending;
      pending.resolve = resolve = settle(resolve);
      pending.reject = reject = settle(reject);
      this.#send({ id, method: method.name, params }).catch(reject);
    });
    const parsed = method.result.safeParse(result);
    if (!parsed.success) throw new VmcError('bad-data', `The answer to ${method.name} is not of the agreed shape.`);
    return parsed.data as ResultOut<M>;
  }

  notify(method: string, params: unknown): Promise<void> {
    return this.#send({ method, params });
  }

  async close(): Promise<void> {
    this.#end();
    await this.#pipe.close();
  }

  async #send(message: Record<string, unknown>): Promise<void> {
    if (this.#closed) throw channelClosed('the message');
    await this.#pipe.send(encodeRpc(message));
  }

  async #receiveAll(): Promise<void> {
    try {
      for (let bytes = await this.#pipe.receive(); bytes !== undefined; bytes = await this.#pipe.receive()) {
        const message = parseRpcMessage(bytes);
        if (message === undefined)
          throw new VmcError('bad-data', 'The other side sent something that is not JSON-RPC.');
        this.#take(message);
      }
    } finally {
      this.#end();
      await this.#pipe.close();
    }
  }

  #end(): void {
    this.#closed = true;
    for (const pending of [...this.#pending.values()]) pending.reject(channelClosed('a request'));
    for (const running of this.#running.values()) running.abort();
  }

  #take(message: RpcMessage): void {
    switch (message.kind) {
      case 'request':
        // Someone who asks and does not read the answers would fill the memory.
        if (this.#answering >= MAX_PENDING_ANSWERS)
          throw new VmcError('limit', 'The other side asks more than it reads answers.');
        this.#answering++;
        void this.#answer(message.id, message.method, message.params).finally(() => {
          this.#answering--;
        });
        return;
      case 'result':
        this.#pending.get(message.id)?.resolve(message.result);
        return;
      case 'error':
        this.#pending.get(message.id)?.reject(errorFromFields(message.error));
        return;
      case 'notification':
        this.#takeNotification(message.method, message.params);
        return;
      default:
        message satisfies never;
    }
  }

  #takeNotification(method: string, params: unknown): void {
    if (method === '$progress') {
      const parsed = progressSchema.safeParse(params);
      if (parsed.success) this.#pending.get(parsed.data.id)?.onProgress?.(parsed.data.progress);
    } else if (method === '$cancel') {
      const parsed = cancelSchema.safeParse(params);
      if (parsed.success) this.#running.get(parsed.data.id)?.abort();
    } else {
      this.#options.onNotification?.(method, params);
    }
  }

  async #answer(id: number, method: string, params: unknown): Promise<void> {
    try {
      const result = await this.#runRequest(id, method, params);
      await this.#send({ id, result: result ?? null });
    } catch (error) {
      if (!(error instanceof VmcError)) this.#options.onInternalError?.(method, error);
      const fields = publicError(error);
      await this.#send({ id, error: { code: -32000, message: fields.message, data: fields } }).catch(() => {});
    }
  }

  async #runRequest(id: number, method: string, params: unknown): Promise<unknown> {
    if (this.#options.handle === undefined)
      throw new VmcError('not-found', `There is no method ${JSON.stringify(method)} here.`);
    if (this.#running.has(id)) throw new VmcError('bad-request', 'That request id is in use.');
    if (this.#running.size >= (this.#options.maxConcurrent ?? 32))
      throw new VmcError('limit', 'Too many requests are under way.', 'Wait for one to end.');
    const abort = new AbortController();
    this.#running.set(id, abort);
    try {
      return await this.#options.handle(method, params, {
        signal: abort.signal,
        progress: (progress) => void this.notify('$progress', { id, progress }).catch(() => {}),
      });
    } finally {
      this.#running.delete(id);
    }
  }
}

function channelClosed(what: string): VmcError {
  return new VmcError(
    'channel-closed',
    `The connection closed before ${what} was answered.`,
    'Whether it was carried out is not known: look before you repeat it.',
  );
}
