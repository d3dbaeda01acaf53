/**
 * A TCP connection whose bytes go on to another stream through a buffer that is used again and again, where `pipe` gets new
 * memory for each 64 KiB (docs/performance.md). Only a socket that we connect can do that (net.connect, onread).
 */
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { Duplex } from 'node:stream';

/** A stream that says little has a small buffer; who fills it gets a large one, until it says little again. */
const SMALL_BYTES = 16 * 1024;
const LARGE_BYTES = 128 * 1024;

/** Connects, and passes on to `to` all that comes, and its end. Back-pressure is kept: what `to` has not sent is not overwritten. */
export function connectInto(to: Duplex, options: TcpNetConnectOpts): Socket {
  const small = Buffer.allocUnsafeSlow(SMALL_BYTES);
  let next = small;
  let waiting = false;
  const sent = () => {
    if (!waiting || to.writableLength > 0) return;
    waiting = false;
    from.resume();
  };
  const from = connect({
    ...options,
    onread: {
      buffer: () => next,
      callback(bytes, filled) {
        to.write(filled.subarray(0, bytes), sent);
        if (bytes < SMALL_BYTES) next = small;
        else if (next === small) next = Buffer.allocUnsafeSlow(LARGE_BYTES);
        // Nothing is left of it when the kernel took all at once, and then the buffer may be filled again.
        waiting = to.writableLength > 0;
        return !waiting;
      },
    },
  });
  from.once('end', () => to.end());
  return from;
}
