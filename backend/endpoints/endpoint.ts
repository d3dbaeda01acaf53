/** One endpoint: a TCP port that leads to port 22 of one VM, for one source address only (B3). */
import { createServer, type Server, type Socket } from 'node:net';
import { plainAddress } from '../../shared/net/addresses.ts';
import { cutSocket } from '../../shared/net/cut.ts';
import { connectInto } from '../../shared/net/inflow.ts';
import type { EndpointMetrics, EndpointRefusal } from './endpoint-metrics.ts';

const CONNECT_TIMEOUT_MS = 10_000;

/** noDelay: a TLS handshake is small messages by turns, each of which would wait for the acknowledgement of the last. */
const SOCKET_OPTIONS = { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 } as const;

export interface EndpointOptions {
  /** Address to listen at. */
  address: string;
  port: number;
  /** The only address that may connect. */
  sourceAddress: string;
  /** Where the VM is now; undefined while it, or this person's way to it, is not there. Asked for each stream. */
  target(): { host: string; port: number } | undefined;
  maxStreams: number;
  /** Milliseconds without a stream after which it closes. */
  idleMs: number;
  /** Milliseconds after which it closes whatever happens. */
  maxMs: number;
  metrics: EndpointMetrics;
  /** Called once, unless it never listened. */
  closed(): void;
}

export interface EndpointUse {
  /** Open now. */
  streams: number;
  /** Since the endpoint was opened. */
  streamsTotal: number;
  /** As the VM sees it: TCP payload in both directions. */
  bytesIn: number;
  bytesOut: number;
}

export class Endpoint {
  readonly #options: EndpointOptions;
  readonly #server: Server;
  readonly #streams = new Set<{ downstream: Socket; upstream: Socket }>();
  /** Of streams that have ended. */
  readonly #past = { streamsTotal: 0, bytesIn: 0, bytesOut: 0 };
  #lifetime: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  private constructor(options: EndpointOptions) {
    this.#options = options;
    this.#server = createServer(SOCKET_OPTIONS);
    this.#server.on('connection', (socket) => this.#accept(socket));
  }

  /** @throws the system's error, EADDRINUSE among them. */
  static async listen(options: EndpointOptions): Promise<Endpoint> {
    const endpoint = new Endpoint(options);
    await new Promise<void>((resolve, reject) => {
      endpoint.#server.once('error', reject);
      endpoint.#server.listen(options.port, options.address, resolve);
    });
    endpoint.#server.on('error', () => void endpoint.close());
    endpoint.#lifetime = setTimeout(() => void endpoint.close(), Math.min(options.maxMs, 2 ** 31 - 1));
    endpoint.#watchIdle();
    return endpoint;
  }

  get use(): EndpointUse {
    const use = { streams: this.#streams.size, ...this.#past };
    use.streamsTotal += this.#streams.size;
    for (const { upstream } of this.#streams) {
      use.bytesIn += upstream.bytesWritten;
      use.bytesOut += upstream.bytesRead;
    }
    return use;
  }

  /** Closes it and cuts its streams. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#idle);
    clearTimeout(this.#lifetime);
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const { downstream, upstream } of this.#streams) {
      cutSocket(downstream);
      cutSocket(upstream);
    }
    this.#options.closed();
    await stopped;
  }

  #accept(downstream: Socket): void {
    downstream.on('error', () => {}); // 'close' follows
    const target = this.#admit(downstream.remoteAddress);
    if (typeof target !== 'string') {
      this.#join(downstream, connectInto(downstream, { ...target, ...SOCKET_OPTIONS }));
      return;
    }
    this.#options.metrics.refused(target);
    downstream.resetAndDestroy();
  }

  #admit(remoteAddress: string | undefined): { host: string; port: number } | EndpointRefusal {
    const { sourceAddress, maxStreams, target } = this.#options;
    if (plainAddress(remoteAddress) !== sourceAddress) return 'address';
    if (this.#streams.size >= maxStreams) return 'streams';
    return target() ?? 'target';
  }

  #join(downstream: Socket, upstream: Socket): void {
    upstream.on('error', () => {});
    const timer = setTimeout(() => upstream.destroy(), CONNECT_TIMEOUT_MS);
    upstream.once('connect', () => clearTimeout(timer));
    const stream = { downstream, upstream };
    this.#streams.add(stream);
    this.#options.metrics.streams++;
    this.#options.metrics.streamsTotal++;
    clearTimeout(this.#idle);
    let open = 2;
    const closed = (other: Socket) => (failed: boolean) => {
      clearTimeout(timer);
      // After a proper end of both directions the other side closes by itself, when all has gone out.
      if (failed || !other.readableEnded) cutSocket(other);
      open--;
      if (open === 0) this.#ended(stream);
    };
    downstream.once('close', closed(upstream));
    upstream.once('close', closed(downstream));
    downstream.pipe(upstream); // back-pressure and half-close are pipe's
  }

  #ended(stream: { downstream: Socket; upstream: Socket }): void {
    const { bytesWritten, bytesRead } = stream.upstream;
    this.#streams.delete(stream);
    this.#past.streamsTotal++;
    this.#past.bytesIn += bytesWritten;
    this.#past.bytesOut += bytesRead;
    this.#options.metrics.ended(bytesWritten, bytesRead);
    if (this.#streams.size === 0) this.#watchIdle();
  }

  #watchIdle(): void {
    clearTimeout(this.#idle);
    if (this.#closed === undefined) this.#idle = setTimeout(() => void this.close(), this.#options.idleMs);
  }
}
