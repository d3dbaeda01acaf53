/**
 * A browser's WebSocket (WHATWG) as a transport: binary messages only, bounded both ways.
 *
 * Wrap it in the very handler of the last message before the channel (the relay's `paired`): after an `await`, the next
 * message may already be gone.
 */
import { MAX_TRANSPORT_MESSAGE } from './limits.ts';
import { MessageQueue } from './message-queue.ts';
import { type Transport, transportClosed } from './transport.ts';

/** What is used of a WebSocket. */
export interface BrowserSocket {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  send(message: Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
  addEventListener(type: 'open' | 'close' | 'error', listener: () => void): void;
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void;
}

/** readyState (WHATWG). */
const [CONNECTING, OPEN] = [0, 1];
const SEND_HIGH_WATER_BYTES = 1024 * 1024;
/** A browser's WebSocket cannot be paused: who does not read for so long is cut off. */
const RECEIVE_MAX_BYTES = 16 * 1024 * 1024;
const RECEIVE_MAX_MESSAGES = 4096;
/** Nothing tells when `bufferedAmount` falls, so it is looked at again after so many milliseconds. */
const LOOK_AGAIN_MS = 10;

export function browserTransport(socket: BrowserSocket): Transport {
  const queue = new MessageQueue();
  const ended = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  socket.binaryType = 'arraybuffer';

  const close = (): void => {
    queue.clear();
    socket.close(1000); // the only code for which the specification has no conditions
  };
  socket.addEventListener('message', ({ data }) => {
    // What no well-behaved peer sends, or more than there is room for.
    if (typeof data !== 'object' || data === null || !('byteLength' in data)) return close();
    const message = new Uint8Array(data as ArrayBuffer);
    if (message.length > MAX_TRANSPORT_MESSAGE) return close();
    queue.push(message);
    if (queue.bytes > RECEIVE_MAX_BYTES || queue.length > RECEIVE_MAX_MESSAGES) close();
  });
  for (const end of ['close', 'error'] as const)
    socket.addEventListener(end, () => {
      queue.end();
      ended.resolve();
      opened.resolve();
    });
  socket.addEventListener('open', () => opened.resolve());

  return {
    receive: () => queue.take(),
    close,
    async send(message) {
      if (socket.readyState === CONNECTING) await opened.promise;
      if (socket.readyState !== OPEN) throw transportClosed();
      socket.send(message as Uint8Array<ArrayBuffer>);
      while (socket.readyState === OPEN && socket.bufferedAmount > SEND_HIGH_WATER_BYTES) await pause(ended.promise);
    },
  };
}

/** A little while, or until the connection has ended. */
function pause(ended: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, LOOK_AGAIN_MS);
    void ended.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
