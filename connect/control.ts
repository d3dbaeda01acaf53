/**
 * A control connection that outlives its channels (C1). A request whose channel was cut is asked again over the next one:
 * as it was when it only reads; by the same id when it changes something, and only of the vmc that may remember it.
 */
import { type Backoff, makeBackoff } from '../shared/backoff.ts';
import { type ErrorCode, VmcError } from '../shared/errors.ts';
import { abortable, pause } from '../shared/net/pause.ts';
import type { Method, ParamsIn, ResultOut } from '../shared/rpc/method.ts';
import { type CallOptions, newRequestId, type RpcPeer } from '../shared/rpc/peer.ts';

/** What a command needs of a VM. */
export interface Control {
  /**
   * @throws VmcError the VM's; 'timeout', 'cancelled'; 'unreachable' when the connection did not come back in time;
   * 'outcome-unknown' when a request that changes something may or may not have been carried out.
   */
  call<M extends Method>(
    method: M,
    params: ParamsIn<M>,
    options?: Pick<CallOptions, 'signal' | 'timeoutMs' | 'onProgress'>,
  ): Promise<ResultOut<M>>;
  close(): Promise<void>;
}

export interface ControlDeps {
  vmName: string;
  /** A new channel, checked as the first one was. */
  open(signal: AbortSignal): Promise<RpcPeer>;
  /** A line for the person. */
  say(text: string): void;
  random(): number;
  /** Milliseconds; see makeBackoff. */
  backoff?: { firstMs: number; mostMs: number };
}

/** Trying again does not help. */
const FINAL: readonly ErrorCode[] = [
  'identity-changed',
  'forbidden',
  'unauthenticated',
  'cancelled',
  'not-found',
  'wrong-state',
  'bad-config',
];
/**
 * A VM that refuses somebody just closes, as a connection that breaks during the handshake does. So many in a row, with
 * the VM to be reached each time, are a refusal.
 */
const REFUSALS = 4;
const BACKOFF = { firstMs: 300, mostMs: 8_000 };

/** A request that changes something, as it was first sent. */
interface Sent {
  instance: string;
  after: number;
}

export class ControlConnection implements Control {
  readonly #deps: ControlDeps;
  readonly #backoff: Backoff;
  #peer: RpcPeer;
  /** Something was answered over the present channel: it is more than a door that opens and shuts. */
  #proven = true;
  #reconnecting: Reconnection | undefined;
  #closed = false;

  /** @param peer the first channel, which is open. */
  constructor(peer: RpcPeer, deps: ControlDeps) {
    this.#peer = peer;
    this.#deps = deps;
    const { firstMs, mostMs } = deps.backoff ?? BACKOFF;
    this.#backoff = makeBackoff(deps.random, firstMs, mostMs);
  }

  async call<M extends Method>(
    method: M,
    params: ParamsIn<M>,
    { signal, timeoutMs = 60_000, onProgress }: Pick<CallOptions, 'signal' | 'timeoutMs' | 'onProgress'> = {},
  ): Promise<ResultOut<M>> {
    signal?.throwIfAborted();
    const call = new AbortController();
    const cancel = () => call.abort(new VmcError('cancelled', `${method.name} was cancelled.`));
    signal?.addEventListener('abort', cancel, { once: true });
    const timer = setTimeout(() => call.abort(this.#tooLate(method, timeoutMs)), timeoutMs);
    try {
      const options = { signal: call.signal, timeoutMs: timeoutMs + 1_000, ...(onProgress && { onProgress }) };
      return await (method.changes ? this.#change(method, params, options) : this.#read(method, params, options));
    } catch (error) {
      // Whatever the layers below made of it; but what is not known has to be said.
      throw call.signal.aborted && !isVmcError(error, 'outcome-unknown') ? call.signal.reason : error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#reconnecting?.stop.abort(connectionClosed());
    await this.#peer.close();
  }

  async #read<M extends Method>(method: M, params: ParamsIn<M>, options: Options): Promise<ResultOut<M>> {
    for (;;) {
      const peer = await this.#connected(options.signal);
      try {
        return await this.#answered(peer.call(method, params, options));
      } catch (error) {
        if (!wasCut(peer, error)) throw error;
      }
    }
  }

  async #answered<T>(answer: Promise<T>): Promise<T> {
    const result = await answer;
    this.#proven = true;
    return result;
  }

  async #change<M extends Method>(method: M, params: ParamsIn<M>, options: Options): Promise<ResultOut<M>> {
    const requestId = newRequestId();
    let sent: Sent | undefined;
    for (;;) {
      const peer = await this.#connected(options.signal).catch((error: unknown) => {
        throw sent === undefined ? error : unknownOutcome(method, this.#deps.vmName, error);
      });
      try {
        // Who does not know which vmc it asks could not ask it again.
        const { instance } = await abortable(peer.greeting, options.signal);
        if (sent !== undefined && sent.instance !== instance)
          throw unknownOutcome(method, this.#deps.vmName, undefined, 'and its controller was started again meanwhile');
        if (peer.closed) continue;
        const first = sent === undefined;
        sent ??= { instance, after: peer.accepted };
        try {
          return await this.#answered(peer.call(method, params, { ...options, requestId, after: sent.after }));
        } catch (error) {
          // Others were so busy that the VM cannot tell; but nobody has ever sent this one before.
          if (!(first && isVmcError(error, 'outcome-unknown') && peer.accepted > sent.after)) throw error;
          sent.after = peer.accepted;
          return await this.#answered(peer.call(method, params, { ...options, requestId, after: sent.after }));
        }
      } catch (error) {
        if (!wasCut(peer, error)) throw error;
      }
    }
  }

  /** The open channel, or the next one: one attempt at a time, for as long as somebody waits. */
  async #connected(signal: AbortSignal): Promise<RpcPeer> {
    if (this.#closed) throw connectionClosed();
    if (!this.#peer.closed) return this.#peer;
    this.#reconnecting ??= this.#startReconnecting();
    const attempt = this.#reconnecting;
    attempt.waiting++;
    try {
      return await abortable(attempt.peer, signal);
    } finally {
      if (--attempt.waiting === 0 && this.#reconnecting === attempt) {
        attempt.stop.abort(connectionClosed());
        this.#reconnecting = undefined;
      }
    }
  }

  #startReconnecting(): Reconnection {
    const stop = new AbortController();
    const attempt = { peer: this.#reconnect(stop.signal), waiting: 0, stop };
    const over = () => {
      if (this.#reconnecting === attempt) this.#reconnecting = undefined;
    };
    attempt.peer.then(over, over); // who waits hears of an error
    return attempt;
  }

  async #reconnect(signal: AbortSignal): Promise<RpcPeer> {
    const { vmName, open, say } = this.#deps;
    say(`The connection to the VM ${vmName} was lost; trying again…`);
    if (this.#proven) this.#backoff.reset();
    else await pause(this.#backoff.next(), signal);
    this.#proven = false;
    let refusals = 0;
    for (;;) {
      try {
        const peer = await open(signal);
        if (signal.aborted) await peer.close();
        signal.throwIfAborted();
        this.#peer = peer;
        say(`The connection to the VM ${vmName} is back.`);
        return peer;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof VmcError) || FINAL.includes(error.code)) throw error;
        refusals = error.code === 'channel-closed' ? refusals + 1 : 0;
        if (refusals === REFUSALS) throw error;
        await pause(this.#backoff.next(), signal);
      }
    }
  }

  #tooLate(method: Method, timeoutMs: number): VmcError {
    const seconds = `${Math.round(timeoutMs / 1000)} s`;
    if (this.#reconnecting === undefined)
      return new VmcError(
        'timeout',
        `${method.name}: no answer within ${seconds}.`,
        method.changes ? 'The VM was told to stop it. Look before you repeat it.' : undefined,
      );
    return new VmcError(
      'unreachable',
      `The connection to the VM ${this.#deps.vmName} did not come back within ${seconds}.`,
      'Is the VM running, and is this device online? connect vm list shows it.',
    );
  }
}

/** One attempt to get a channel, however long it takes, for all who wait. */
interface Reconnection {
  peer: Promise<RpcPeer>;
  waiting: number;
  stop: AbortController;
}

type Options = Pick<CallOptions, 'onProgress'> & { signal: AbortSignal; timeoutMs: number };

const connectionClosed = () => new VmcError('channel-closed', 'This connection was closed.');

const isVmcError = (error: unknown, code: ErrorCode): boolean => error instanceof VmcError && error.code === code;

/** Not an answer of the VM: the channel itself has ended. */
const wasCut = (peer: RpcPeer, error: unknown): boolean => peer.closed && isVmcError(error, 'channel-closed');

function unknownOutcome(method: Method, vmName: string, cause: unknown, also = 'and did not come back'): VmcError {
  return new VmcError(
    'outcome-unknown',
    `The connection to the VM ${vmName} was lost before ${method.name} was answered, ${also}: it may have been carried out or not.`,
    'Look before you repeat it: connect vm info and connect drive list say how things are.',
    { cause },
  );
}
