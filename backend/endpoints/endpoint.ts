/** One endpoint: a TCP port that leads to port 22 of one VM, for one source address only (B3). */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { plainAddress } from '../../shared/net/addresses.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;

export interface EndpointOptions {
  /** Address to listen at. */
  address: string;
  port: number;
  /** The only address that may connect. */
  sourceAddress: string;
  /** Where the VM is now; undefined while it cannot be reached. Asked for each stream. */
  target(): { host: string; port: number } | undefined;
  maxStreams: number;
  /** Milliseconds without a stream after which it closes. */
  idleMs: number;
  /** Milliseconds after which it closes whatever happens. */
  maxMs: number;
  /** Called once. */
  closed(): void;
}

export class Endpoint {
  readonly #options: EndpointOptions;
  readonly #server: Server;
  readonly #streams = new Set<{ downstream: Socket; upstream: Socket }>();
  readonly #lifetime: NodeJS.Timeout;
  #idle: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  private constructor(options: EndpointOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
    this.#server.on('connection', (socket) => this.#accept(socket));
    this.#lifetime = setTimeout(() => void this.close(), Math.min(options.maxMs, 2 ** 31 - 1));
    this.#watchIdle();
  }

  /** @throws the system's error, EADDRINUSE among them. */
  static async listen(options: EndpointOptions): Promise<Endpoint> {
    const endpoint = new Endpoint(options);
    try {
      await new Promise<void>((resolve, reject) => {
        endpoint.#server.once('error', reject);
        endpoint.#server.listen(options.port, options.address, resolve);
      });
    } catch (error) {
      endpoint.#stopTimers();
      throw error;
    }
    endpoint.#server.on('error', () => void endpoint.close());
    return endpoint;
  }

  /** Closes it and cuts its streams. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#stopTimers();
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const { downstream, upstream } of this.#streams) {
      cut(downstream);
      cut(upstream);
    }
    this.#options.closed();
    await stopped;
  }

  #accept(downstream: Socket): void {
    downstream.on('error', () => {}); // 'close' follows
    const target = this.#options.target();
    const stranger = plainAddress(downstream.remoteAddress) !== this.#options.sourceAddress;
    if (stranger || target === undefined || this.#streams.size >= this.#options.maxStreams) {
      downstream.resetAndDestroy();
      return;
    }
    const upstream = connect({ ...target, allowHalfOpen: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
    upstream.on('error', () => {});
    const timer = setTimeout(() => upstream.destroy(), CONNECT_TIMEOUT_MS);
    upstream.once('connect', () => clearTimeout(timer));
    const stream = { downstream, upstream };
    this.#streams.add(stream);
    clearTimeout(this.#idle);
    let open = 2;
    const closed = (other: Socket) => (failed: boolean) => {
      clearTimeout(timer);
      // After a proper end of both directions the other side closes by itself, when all has gone out.
      if (failed || !other.readableEnded) cut(other);
      open--;
      if (open > 0) return;
      this.#streams.delete(stream);
      if (this.#streams.size === 0) this.#watchIdle();
    };
    downstream.once('close', closed(upstream));
    upstream.once('close', closed(downstream));
    downstream.pipe(upstream); // back-pressure and half-close are pipe's
    upstream.pipe(downstream);
  }

  #watchIdle(): void {
    clearTimeout(this.#idle);
    if (this.#closed === undefined) this.#idle = setTimeout(() => void this.close(), this.#options.idleMs);
  }

  #stopTimers(): void {
    clearTimeout(this.#idle);
    clearTimeout(this.#lifetime);
  }
}

/** A stream that did not end properly must not look as if it had: a reset, where an end would pass for the last byte. */
function cut(socket: Socket): void {
  if (socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}
