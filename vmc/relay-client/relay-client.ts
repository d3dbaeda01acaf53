/**
 * Keeps one idle socket parked at the relay at all times (requirement C1): each that is paired is handed on, and the next
 * is parked at once. Runs on, with back-off, while the backend is down.
 */
import type { WebSocket } from 'ws';
import type { Backoff } from '../../shared/backoff.ts';

export interface ParkedSocket {
  /** The socket, once a user is on its other end; rejects when it closes before. */
  paired: Promise<WebSocket>;
  close(): void;
}

export interface RelayClientDeps {
  /** Everything from nothing to a parked socket: firewall, enrolment, park. */
  park: (signal: AbortSignal) => Promise<ParkedSocket>;
  /** Takes a paired socket; must not throw. */
  serve: (socket: WebSocket) => void;
  onParked: () => void;
  /** The relay cannot be reached, or cut the parked socket; the next attempt is in `retryMs`. */
  onTrouble: (error: unknown, retryMs: number) => void;
  /** How long to wait after a failure. */
  backoff: Backoff;
  /** Milliseconds of a clock that is never set. */
  clock: () => number;
}

/** A parked socket that lived this long was a success: the next failure starts from the shortest wait. */
const STEADY_MS = 10_000;

export class RelayClient {
  readonly #deps: RelayClientDeps;
  readonly #stop = new AbortController();
  #wake: (() => void) | undefined;
  /** Something changed during an attempt: the next one follows at once. */
  #again = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(deps: RelayClientDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#ended = this.#run();
  }

  /** Something about the network changed: try now instead of later. */
  retryNow(): void {
    this.#again = true;
    this.#wake?.();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake?.();
    await this.#ended;
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.#again = false;
      try {
        await this.#parkOnce();
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        const retryMs = this.#deps.backoff.next();
        this.#deps.onTrouble(error, retryMs);
        await this.#wait(retryMs);
      }
    }
  }

  async #parkOnce(): Promise<void> {
    const parked = await this.#deps.park(this.#stop.signal);
    const close = () => parked.close();
    this.#stop.signal.addEventListener('abort', close, { once: true });
    if (this.#stop.signal.aborted) close();
    const since = this.#deps.clock();
    this.#deps.onParked();
    try {
      const socket = await parked.paired;
      this.#deps.backoff.reset();
      this.#deps.serve(socket);
    } catch (error) {
      if (this.#deps.clock() - since >= STEADY_MS) this.#deps.backoff.reset();
      throw error;
    } finally {
      this.#stop.signal.removeEventListener('abort', close);
    }
  }

  async #wait(ms: number): Promise<void> {
    if (this.#again) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    clearTimeout(timer);
  }
}
