/**
 * Streams to one VM. A few connections are made ahead while streams are being opened, so that the next one has no handshake to
 * wait for; and a stream that finds the way broken waits until there is another one.
 */
import { networkInterfaces } from 'node:os';
import type { Readable } from 'node:stream';
import { type Backoff, makeBackoff } from '../../shared/backoff.ts';
import { type ErrorCode, errorMessage, VmcError } from '../../shared/errors.ts';
import { plainAddress } from '../../shared/net/addresses.ts';
import { onDisturbance } from '../../shared/net/disturbance.ts';
import type { Wire } from '../../shared/net/join.ts';
import { abortable, pause } from '../../shared/net/pause.ts';
import {
  type Connection,
  cancelled,
  EndpointUnreachable,
  openConnection,
  TlsMemory,
  type TunnelPath,
} from './connection.ts';
import { requestStream, StreamLost, StreamRefused } from './open-stream.ts';
import { ReadyConnections } from './ready-connections.ts';

/** A path, and how many connections the VM lets wait on it. */
export interface PoolPath extends TunnelPath {
  ready: { connections: number; seconds: number };
}

/** Where the pool gets its path from; access.ts is one. */
export interface PathSource<P extends PoolPath> {
  get(): Promise<P>;
  /** Another one than `failed`, unless there is one by now. @param endpointToo not even TCP got through. */
  renew(failed: P, endpointToo: boolean): Promise<P>;
}

export type PathState = 'connected' | 'reconnecting';

export interface PoolOptions {
  /** Told whenever the way to the VM was found working or broken. */
  onState?: (state: PathState, why?: string) => void;
  /** How long a stream waits for a way, milliseconds. */
  waitMs?: number;
  /** How long after the last stream connections are made ahead, milliseconds. */
  activeMs?: number;
  random?: () => number;
}

const MOST_READY = 4;
/** So many streams may wait for a way; what comes beyond is refused at once. */
const MOST_WAITING = 64;
const WAIT_MS = 60_000;
/** An idle tunnel keeps neither the endpoint nor the VM busy. */
const ACTIVE_MS = 120_000;
/** The first bytes of a stream come before the handshake of a connection for a later one. */
const FILL_AFTER_MS = 5;
const BACKOFF = { firstMs: 250, mostMs: 5_000 };

/** Trying again does not help. */
const FINAL: readonly ErrorCode[] = [
  'forbidden',
  'unauthenticated',
  'not-found',
  'wrong-state',
  'bad-config',
  'limit',
  'internal',
];
/** After a restart of the VM this is to be expected, once; it is not when it comes again over a path that is new. */
const DOUBTFUL: readonly ErrorCode[] = ['identity-changed', 'bad-data'];
const MOST_DOUBTS = 3;

export class StreamPool<P extends PoolPath = PoolPath> {
  readonly #source: PathSource<P>;
  readonly #options: Required<PoolOptions>;
  readonly #memory = new TlsMemory();
  readonly #closed = new AbortController();
  readonly #backoff: Backoff;
  readonly #ready: ReadyConnections<P>;
  readonly #live = new Set<Connection>();
  readonly #stopListening: () => void;
  #filling: Promise<void> | undefined;
  #fillTimer: NodeJS.Timeout | undefined;
  /** A path that was found broken by a connection that waited. */
  #broken: P | undefined;
  #waiting = 0;
  #activeUntil = 0;

  constructor(source: PathSource<P>, options: PoolOptions = {}) {
    this.#source = source;
    this.#options = { onState: () => {}, waitMs: WAIT_MS, activeMs: ACTIVE_MS, random: Math.random, ...options };
    this.#backoff = makeBackoff(this.#options.random, BACKOFF.firstMs, BACKOFF.mostMs);
    this.#ready = new ReadyConnections({
      onLost: (path) => {
        this.#broken = path;
        this.#options.onState('reconnecting', 'the VM ended a connection');
        this.#fillSoon();
      },
      onOld: () => this.#fillSoon(),
    });
    this.#stopListening = onDisturbance(() => this.#disturbed());
  }

  /** Connections that wait for a stream. */
  get ready(): number {
    return this.#ready.size;
  }

  /** A stream is likely soon. */
  warm(): void {
    this.#activeUntil = Date.now() + this.#options.activeMs;
    this.#fillSoon();
  }

  /**
   * A stream to a port of the VM. Waits while the way is broken, but not for ever.
   * @param early what it has to say at once; see requestStream.
   * @throws StreamRefused when the VM says no, StreamLost; VmcError 'unreachable', 'channel-closed', 'identity-changed',
   * 'limit', 'forbidden', 'cancelled'.
   */
  async open(vmPort: number, signal: AbortSignal, early?: Readable): Promise<Wire> {
    try {
      const connection =
        (await this.#openReady(vmPort, signal, early)) ?? (await this.#openAnew(vmPort, signal, early));
      this.#live.add(connection);
      connection.stream.once('close', () => this.#live.delete(connection));
      this.#backoff.reset();
      this.#options.onState('connected');
      return connection;
    } catch (error) {
      throw signal.aborted || this.#closed.signal.aborted ? cancelled() : error;
    } finally {
      this.warm();
    }
  }

  /** No more streams. Those that are open stay; those that were just asked for end with their own signals. */
  close(): void {
    this.#closed.abort(cancelled());
    this.#stopListening();
    clearTimeout(this.#fillTimer);
    this.#ready.drop();
  }

  /** Over a connection that waited. Undefined: there was none, or it had died unnoticed. */
  async #openReady(vmPort: number, signal: AbortSignal, early: Readable | undefined): Promise<Connection | undefined> {
    const connection = this.#ready.take();
    if (connection === undefined) return undefined;
    try {
      return await requestStream(connection, vmPort, signal, early, true);
    } catch (error) {
      if (!(error instanceof VmcError) || error.code !== 'channel-closed' || error instanceof StreamLost) throw error;
      return undefined;
    }
  }

  async #openAnew(vmPort: number, signal: AbortSignal, early: Readable | undefined): Promise<Connection> {
    if (this.#waiting >= MOST_WAITING)
      throw new VmcError('limit', `${MOST_WAITING} connections already wait for the way to the VM.`);
    this.#waiting++;
    const tooLate = AbortSignal.timeout(this.#options.waitMs);
    const stop = AbortSignal.any([signal, tooLate, this.#closed.signal]);
    const backoff = makeBackoff(this.#options.random, BACKOFF.firstMs, BACKOFF.mostMs);
    let failed: Failure<P> | undefined;
    let doubts = 0;
    try {
      for (let attempt = 0; ; attempt++) {
        let path = failed?.path;
        try {
          path = await abortable(this.#path(failed), stop);
          return await requestStream(await openConnection(path, stop, this.#memory), vmPort, signal, early);
        } catch (error) {
          if (signal.aborted || this.#closed.signal.aborted) throw error;
          if (tooLate.aborted) throw failed?.error ?? noWay(this.#options.waitMs);
          if (isDoubtful(error)) doubts++;
          if (isFinal(error) || doubts === MOST_DOUBTS) throw error;
          failed = { path, error, times: (failed?.times ?? 0) + 1 };
          this.#options.onState('reconnecting', errorMessage(error));
          if (attempt > 0) await pause(backoff.next(), stop).catch(() => {});
        }
      }
    } finally {
      this.#waiting--;
    }
  }

  #path(failure: Failure<P> | undefined): Promise<P> {
    if (failure?.path === undefined) return this.#source.get();
    return this.#source.renew(failure.path, needsEndpoint(failure));
  }

  #fillSoon(): void {
    if (this.#closed.signal.aborted || this.#filling !== undefined) return;
    clearTimeout(this.#fillTimer);
    this.#fillTimer = setTimeout(() => {
      this.#filling ??= this.#fill().finally(() => {
        this.#filling = undefined;
      });
    }, FILL_AFTER_MS);
  }

  /** One after the other, for as long as streams have been opened lately. */
  async #fill(): Promise<void> {
    const { signal } = this.#closed;
    let failed: Failure<P> | undefined;
    while (Date.now() < this.#activeUntil && !signal.aborted) {
      let path = failed?.path;
      try {
        if (this.#broken !== undefined) {
          failed ??= { path: this.#broken, error: undefined, times: 0 };
          path = failed.path;
          this.#broken = undefined;
          await pause(this.#backoff.next(), signal);
        }
        path = await this.#path(failed);
        if (this.#ready.size >= Math.min(MOST_READY, path.ready.connections)) return;
        const connection = await openConnection(path, signal, this.#memory);
        this.#ready.add(path, connection);
        failed = undefined;
        this.#options.onState('connected');
      } catch (error) {
        if (signal.aborted) return;
        this.#options.onState('reconnecting', errorMessage(error));
        if (isFinal(error)) return; // the next stream asks again, and says so
        failed = { path, error, times: (failed?.times ?? 0) + 1 };
        await pause(this.#backoff.next(), signal).catch(() => {});
      }
    }
  }

  /** What waits may be dead, and a stream whose own address is gone is. */
  #disturbed(): void {
    const own = Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));
    for (const connection of [...this.#live])
      if (connection.localAddress !== undefined && !own.includes(plainAddress(connection.localAddress)))
        connection.cut();
    this.#ready.drop();
    this.#fillSoon();
  }
}

interface Failure<P> {
  /** Undefined: there was not even a path. */
  path: P | undefined;
  error: unknown;
  /** In a row. */
  times: number;
}

/** An endpoint that takes connections may only lack a grant behind it, at first. */
const needsEndpoint = ({ error, times }: Failure<unknown>): boolean =>
  error instanceof EndpointUnreachable && (!error.accepted || times > 1);

const isFinal = (error: unknown): boolean =>
  error instanceof StreamRefused ||
  error instanceof StreamLost ||
  !(error instanceof VmcError) ||
  FINAL.includes(error.code);

const isDoubtful = (error: unknown): boolean => error instanceof VmcError && DOUBTFUL.includes(error.code);

const noWay = (waitMs: number) =>
  new VmcError(
    'unreachable',
    `There was no way to the VM for ${Math.round(waitMs / 1000)} s.`,
    'Is the VM running, and is this device online? connect vm list shows it.',
  );
