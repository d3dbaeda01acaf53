/** Joins two streams as if they were one wire: back-pressure and half-close in both directions; a cut cuts both. */
import type { Duplex } from 'node:stream';

export interface Wire {
  /** Allows half-open. */
  stream: Duplex;
  /** Ends it so that its far end sees a cut, not an end. */
  cut(): void;
  /** Its bytes, and their end, go to the other side by themselves (inflow.ts). */
  flows?: true;
}

/** What all slow readers of this process may make it hold back, shared among its streams; each has room for the least. */
const HELD_BYTES = 64 * 1024 * 1024;
const LEAST_BYTES = 64 * 1024;
const MOST_BYTES = 1024 * 1024;

let passing = 0;

/** What one stream may hold back now: much while there are few, for then fewer and larger writes do (docs/performance.md). */
const share = (): number => Math.max(LEAST_BYTES, Math.min(MOST_BYTES, HELD_BYTES / passing));

/** Resolves when both have closed. */
export function join(a: Wire, b: Wire): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const watch = (self: Wire, other: Wire) => {
    const onClose = () => {
      // After a proper end the other direction may still be on its way; after anything else there is nothing to wait for.
      if (!(self.stream.readableEnded && self.stream.writableFinished)) other.cut();
      if (self.stream.closed && other.stream.closed) resolve();
    };
    self.stream.on('error', () => {}); // 'close' follows
    if (self.stream.closed) onClose();
    else self.stream.once('close', onClose);
  };
  watch(a, b);
  watch(b, a);
  if (!a.flows) pass(a.stream, b.stream);
  if (!b.flows) pass(b.stream, a.stream);
  return promise;
}

/** What TLS hands over at a time, while there is more (RFC 8446, 5.1). */
const RECORD_BYTES = 16 * 1024;

/**
 * pipe(), but the full records that one turn of the event loop brings go out in one write. One that is not full is the last for
 * now, and goes out at once. Not into TLS, which would copy the pieces together first.
 */
function pass(from: Duplex, to: Duplex): void {
  const gathers = !('encrypted' in to);
  let gathering = false;
  const send = () => {
    if (!gathering) return;
    gathering = false;
    to.uncork();
  };
  from.on('data', (chunk: Buffer) => {
    const isFull = chunk.length >= RECORD_BYTES;
    if (gathers && isFull && !gathering) {
      gathering = true;
      to.cork();
      setImmediate(send);
    }
    to.write(chunk);
    if (!isFull) send();
    if (to.writableLength >= share()) from.pause();
  });
  if (!to.closed) {
    passing++;
    to.once('close', () => passing--);
  }
  to.on('drain', () => from.resume());
  if (from.readableEnded) {
    to.end();
    return;
  }
  from.on('end', () => to.end());
  from.resume();
}
