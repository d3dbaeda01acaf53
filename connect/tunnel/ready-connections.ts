/** Connections that have carried nothing yet, kept for the streams to come. */
import type { Connection } from './connection.ts';
import type { PoolPath } from './stream-pool.ts';

export interface ReadyConnectionsDeps<P> {
  /** The other side ended one, which it was not to do yet: its path may be broken. */
  onLost(path: P): void;
  /** One has waited for as long as it may, and was closed. */
  onOld(): void;
}

interface Waiting<P> {
  path: P;
  connection: Connection;
  /** Unix time in milliseconds, which goes on while the device sleeps. */
  usableUntil: number;
  /** It waits no longer. */
  leave(): void;
}

/** In the last part of its time the VM may be ending it just now. */
const USABLE_PART = 0.7;

export class ReadyConnections<P extends PoolPath> {
  readonly #deps: ReadyConnectionsDeps<P>;
  /** The oldest first. */
  readonly #waiting: Waiting<P>[] = [];

  constructor(deps: ReadyConnectionsDeps<P>) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#waiting.length;
  }

  add(path: P, connection: Connection): void {
    const { stream } = connection;
    const usableMs = path.ready.seconds * 1000 * USABLE_PART;
    const lost = () => {
      leave();
      stream.destroy();
      this.#deps.onLost(path);
    };
    const old = () => {
      leave();
      stream.destroy();
      this.#deps.onOld();
    };
    const timer = setTimeout(old, usableMs).unref();
    const leave = () => {
      clearTimeout(timer);
      stream.off('data', lost).off('end', lost).off('close', lost);
      const at = this.#waiting.indexOf(waiting);
      if (at !== -1) this.#waiting.splice(at, 1);
    };
    const waiting = { path, connection, usableUntil: Date.now() + usableMs, leave };
    this.#waiting.push(waiting);
    // Read, so that its end shows; the VM has nothing to say before it was asked.
    stream.on('data', lost).on('end', lost).on('close', lost).resume();
    if (stream.destroyed) lost();
  }

  /** The one that has waited longest, of those that can still be used. */
  take(): Connection | undefined {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined) return undefined;
      first.leave();
      if (first.usableUntil > Date.now() && !first.connection.stream.destroyed) return first.connection;
      first.connection.stream.destroy();
    }
  }

  /** Closes all of them. */
  drop(): void {
    for (const { leave, connection } of [...this.#waiting]) {
      leave();
      connection.stream.destroy();
    }
  }
}
