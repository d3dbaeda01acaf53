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

/** What a stream of a joined wire holds back for a slow reader, and with that the most that goes out in one write. */
export const JOIN_HIGH_WATER_BYTES = 256 * 1024;

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
  pass(a, b.stream);
  pass(b, a.stream);
  return promise;
}

function pass(from: Wire, to: Duplex): void {
  if (from.flows) return;
  if (isEncrypted(to)) from.stream.pipe(to);
  else gather(from.stream, to);
}

/** What TLS hands over at a time, while there is more (RFC 8446, 5.1). */
const RECORD_BYTES = 16 * 1024;

/**
 * pipe(), but the full records that one turn of the event loop brings go out in one write (docs/performance.md). One that is not
 * full is the last for now, and goes out at once. Not into TLS, which would copy the pieces together first.
 */
function gather(from: Duplex, to: Duplex): void {
  let gathering = false;
  const send = () => {
    if (!gathering) return;
    gathering = false;
    to.uncork();
  };
  from.on('data', (chunk: Buffer) => {
    const more = chunk.length >= RECORD_BYTES;
    if (more && !gathering) {
      gathering = true;
      to.cork();
      setImmediate(send);
    }
    if (!to.write(chunk)) from.pause();
    if (!more) send();
  });
  to.on('drain', () => from.resume());
  from.on('end', () => to.end());
  from.resume();
}

const isEncrypted = (stream: Duplex): boolean => 'encrypted' in stream;
