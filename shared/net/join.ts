/** Joins two streams as if they were one wire: back-pressure and half-close in both directions; a cut cuts both. */
import type { Duplex } from 'node:stream';

export interface Wire {
  /** Allows half-open. */
  stream: Duplex;
  /** Ends it so that its far end sees a cut, not an end. */
  cut(): void;
}

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
  a.stream.pipe(b.stream);
  b.stream.pipe(a.stream);
  return promise;
}
