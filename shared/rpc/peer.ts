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

/** How a request is known to who answers, over however many channels it comes. */
export interface HandleContext extends CallContext {
  requestId?: string | undefined;
  after?: number | undefined;
  /** The answer tells the caller how many changing requests of theirs have been accepted. */
  tellAccepted?(count: number): void;
}

export type Handle = (method: string, params: unknown, context: HandleContext) => Promise<unknown>;

/** What the side that remembers requests says first. */
export interface Greeting {
  /** Its memory: another one, as after a restart, remembers nothing of this one's requests. */
  instance: string;
  /** Changing requests of this caller that it has accepted so far. */
  accepted: number;
}

export interface RpcPeerOptions {
  /** Answers the other side's requests. Without it every request is refused. */
  handle?: Handle;
  /** Told once of each error that is not a VmcError, for the log. */
  onInternalError?: (method: string, error: unknown) => void;
  onNotification?: (method: string, params: unknown) => void;
  /** Sent first. Only who remembers requests has one. */
  greeting?: Greeting;
  /** Default LIFE. */
  life?: LifeTimes;
  /** Requests of the other side that may run at once; more are refused with `limit`. Default 32. */
  maxConcurrent?: number;
}

/**
 * Each side says that it is alive, and gives the other up when it hears nothing: what lies between them (a relay, buffers that
 * take what nobody reads) may be well while the other side is gone.
 */
export interface LifeTimes {
  /** Milliseconds between looks. */
  lookMs: number;
  /** Nothing was sent for so long: `$alive` is. */
  aliveMs: number;
  /** Nothing was heard for so long: the connection is dead. With `lookMs`, at most 30 s (C1). */
  deadMs: number;
}

export const LIFE: LifeTimes = { lookMs: 2_500, aliveMs: 7_500, deadMs: 25_000 };

export interface CallOptions {
  signal?: AbortSignal;
  /** Milliseconds to wait for the answer; default 60 000. The call is then cancelled at the other side too. */
  timeoutMs?: number;
  onProgress?: (progress: Progress) => void;
  /**
   * Milliseconds for which a cancelled call waits for the other side to say how it ended: what it had half made is gone by
   * then, or the word came too late and this is the result. Default: it does not wait.
   */
  settleMs?: number;
  /** Of a request that may have been sent before, on another channel. Default: a new one for a method that changes something. */
  requestId?: string;
  /** What `accepted` was when this request was first sent. Default: what it is now. */
  after?: number;
}

/** Says nothing but that there is somebody. */
const ALIVE = '$alive';
/** Sent by the side that remembers requests, before anything else. */
const GREETING = '$hello';
const greetingSchema = z.object({
  instance: z.string().min(1).max(64),
  accepted: z.number().int().nonnegative(),
});

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

type Request = Extract<RpcMessage, { kind: 'request' }>;

interface Pending {
  resolve(result: unknown): void;
  reject(error: unknown): void;
  onProgress: ((progress: Progress) => void) | undefined;
}

export const newRequestId = (): string => crypto.getRandomValues(new Uint8Array(16)).toHex();

const MAX_PENDING_CALLS = 256;
/** Answers that are being made or wait to be sent. A peer of ours never has so many: it bounds its pending calls. */
const MAX_PENDING_ANSWERS = MAX_PENDING_CALLS + 64;
/** Bytes of answers that wait to be sent. Besides these there are those that are being made. */
const MAX_UNSENT_BYTES = 16 * 1024 * 1024;
/** While so many answers wait to be sent, progress is not: the next one tells more. */
const MAX_UNSENT_FOR_PROGRESS = 64;

export class RpcPeer {
  readonly #pipe: MessagePipe;
  readonly #options: RpcPeerOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #running = new Map<number, AbortController>();
  /** Settles when the pipe has ended: resolves after a proper end, rejects after a cut. */
  readonly ended: Promise<void>;
  readonly #greeted = Promise.withResolvers<Greeting>();
  #accepted = 0;
  #nextId = 1;
  #answering = 0;
  #unsent = 0;
  #unsentBytes = 0;
  #heardAt = performance.now();
  #sentAt = performance.now();
  readonly #lifeTimer: NodeJS.Timeout;
  #closed = false;

  constructor(pipe: MessagePipe, options: RpcPeerOptions = {}) {
    this.#pipe = pipe;
    this.#options = options;
    this.#greeted.promise.catch(() => {}); // few ask
    if (options.greeting !== undefined) this.notify(GREETING, options.greeting).catch(() => {});
    const { lookMs, ...limits } = options.life ?? LIFE;
    this.#lifeTimer = setInterval(() => this.#look(limits), lookMs);
    this.#lifeTimer.unref(); // it keeps no process alive
    this.ended = this.#receiveAll();
    this.ended.catch(() => {}); // whoever needs to know awaits `ended`
  }

  /** Nothing can be sent any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Part of a message has arrived: on a slow line a whole one takes its time. */
  heard(): void {
    this.#heardAt = performance.now();
  }

  /** What the other side said first. @throws VmcError 'channel-closed' when the connection ends before. */
  get greeting(): Promise<Greeting> {
    return this.#greeted.promise;
  }

  /** How many changing requests the other side says it has accepted: every later one gets a higher number. */
  get accepted(): number {
    return this.#accepted;
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
      let timer = setTimeout(
        () => stop(new VmcError('timeout', `${method.name}: no answer within ${Math.round(timeoutMs / 1000)} s.`)),
        timeoutMs,
      );
      const onAbort = () => {
        const { settleMs } = options;
        if (settleMs === undefined) return stop(new VmcError('cancelled', `${method.name} was cancelled.`));
        this.notify('$cancel', { id }).catch(() => {});
        clearTimeout(timer);
        timer = setTimeout(() => reject(unheeded(method.name)), settleMs);
      };
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
      this.#send({ id, method: method.name, params, ...this.#identified(method, options) }).catch(reject);
    });
    const parsed = method.result.safeParse(result);
    if (!parsed.success) throw new VmcError('bad-data', `The answer to ${method.name} is not of the agreed shape.`);
    return parsed.data as ResultOut<M>;
  }

  #identified(method: Method, { requestId = newRequestId(), after = this.#accepted }: CallOptions) {
    return method.changes ? { requestId, after } : {};
  }

  notify(method: string, params: unknown): Promise<void> {
    return this.#send({ method, params });
  }

  async close(): Promise<void> {
    this.#end(left());
    await this.#pipe.close();
  }

  async #send(message: Record<string, unknown>): Promise<void> {
    await this.#sendBytes(encodeRpc(message));
  }

  async #sendBytes(bytes: Uint8Array): Promise<void> {
    if (this.#closed) throw channelClosed('the message');
    this.#sentAt = performance.now();
    await this.#pipe.send(bytes);
  }

  /** What the other side has asked for, and may not read. */
  async #reply(message: Record<string, unknown>): Promise<void> {
    const bytes = encodeRpc(message);
    this.#unsent++;
    this.#unsentBytes += bytes.length;
    try {
      await this.#sendBytes(bytes);
    } finally {
      this.#unsent--;
      this.#unsentBytes -= bytes.length;
    }
  }

  #look({ aliveMs, deadMs }: Omit<LifeTimes, 'lookMs'>): void {
    const now = performance.now();
    if (now - this.#heardAt > deadMs) {
      this.#end(channelClosed('it'));
      void this.#pipe.close();
    } else if (now - this.#sentAt >= aliveMs) this.notify(ALIVE, {}).catch(() => {});
  }

  async #receiveAll(): Promise<void> {
    let why = channelClosed('it');
    try {
      for (let bytes = await this.#pipe.receive(); bytes !== undefined; bytes = await this.#pipe.receive()) {
        this.heard();
        const message = parseRpcMessage(bytes);
        if (message === undefined)
          throw new VmcError('bad-data', 'The other side sent something that is not JSON-RPC.');
        this.#take(message);
      }
      why = left();
    } finally {
      this.#end(why);
      await this.#pipe.close();
    }
  }

  /** @param why what the calls that run here are told: 'cancelled' when their caller meant to go, else 'channel-closed'. */
  #end(why: VmcError): void {
    this.#closed = true;
    clearInterval(this.#lifeTimer);
    this.#greeted.reject(channelClosed('a request'));
    for (const pending of [...this.#pending.values()]) pending.reject(channelClosed('a request'));
    for (const running of this.#running.values()) running.abort(why);
  }

  #take(message: RpcMessage): void {
    switch (message.kind) {
      case 'request':
        // Someone who asks and does not read the answers would fill the memory.
        if (this.#answering >= MAX_PENDING_ANSWERS || this.#unsentBytes >= MAX_UNSENT_BYTES)
          throw new VmcError('limit', 'The other side asks more than it reads answers.');
        this.#answering++;
        void this.#answer(message).finally(() => {
          this.#answering--;
        });
        return;
      case 'result':
        this.#learn(message.accepted);
        this.#pending.get(message.id)?.resolve(message.result);
        return;
      case 'error':
        this.#learn(message.accepted);
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
      if (parsed.success) this.#running.get(parsed.data.id)?.abort(new VmcError('cancelled', 'It was cancelled.'));
    } else if (method === ALIVE) {
      // It was heard, and that was all.
    } else if (method === GREETING) {
      const parsed = greetingSchema.safeParse(params);
      if (!parsed.success) return;
      this.#learn(parsed.data.accepted);
      this.#greeted.resolve(parsed.data);
    } else {
      this.#options.onNotification?.(method, params);
    }
  }

  #learn(accepted: number | undefined): void {
    this.#accepted = Math.max(this.#accepted, accepted ?? 0);
  }

  async #answer(request: Request): Promise<void> {
    const { id, method } = request;
    const told: { accepted?: number } = {};
    try {
      const result = await this.#runRequest(request, told);
      await this.#reply({ id, result: result ?? null, ...told });
    } catch (error) {
      if (!(error instanceof VmcError)) this.#options.onInternalError?.(method, error);
      const fields = publicError(error);
      await this.#reply({ id, error: { code: -32000, message: fields.message, data: fields }, ...told }).catch(
        () => {},
      );
    }
  }

  async #runRequest({ id, method, params, requestId, after }: Request, told: { accepted?: number }): Promise<unknown> {
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
        requestId,
        after,
        tellAccepted: (count) => {
          told.accepted = count;
        },
        progress: (progress) => {
          if (this.#unsent < MAX_UNSENT_FOR_PROGRESS)
            this.#reply({ method: '$progress', params: { id, progress } }).catch(() => {});
        },
      });
    } finally {
      this.#running.delete(id);
    }
  }
}

/** Who says goodbye wants nothing more; a cut says nothing about what its caller wants. */
const left = (): VmcError => new VmcError('cancelled', 'The other side has left.');

const unheeded = (what: string): VmcError =>
  new VmcError(
    'outcome-unknown',
    `${what} was told to stop, and has not said that it did.`,
    'Look at what is there before you repeat it.',
  );

function channelClosed(what: string): VmcError {
  return new VmcError(
    'channel-closed',
    `The connection closed before ${what} was answered.`,
    'Whether it was carried out is not known: look before you repeat it.',
  );
}
