/**
 * A `ws` WebSocket as a transport: binary messages only, bounded both ways.
 *
 * Wrap it as soon as it exists, or in the very handler of the last message before the channel (the relay's `paired`):
 * after an `await`, the next message may already be gone, unless the socket was paused. Remove that handler then, too. Make the socket with
 * `maxPayload: MAX_TRANSPORT_MESSAGE` (or a little more) and without permessage-deflate: ciphertext does not shrink.
 * Pings are the business of whoever made it: mind that a socket whose `receive` nobody calls stops reading, pings
 * included, once the queue is full.
 */
import type WebSocket from 'ws';
import { MAX_TRANSPORT_MESSAGE } from './limits.ts';
import { MessageQueue } from './message-queue.ts';
import { type Transport, transportClosed } from './transport.ts';

const HIGH_WATER_BYTES = 1024 * 1024;
/** Also counted, as each small message costs more than its bytes. */
const HIGH_WATER_MESSAGES = 256;
/** Milliseconds that the other side has to answer our close frame before the connection is cut. */
const CLOSE_TIMEOUT_MS = 1_000;
const CLOSE = { normal: 1000, unsupported: 1003, tooBig: 1009 } as const;

export function webSocketTransport(socket: WebSocket): Transport {
  const queue = new MessageQueue();
  socket.binaryType = 'nodebuffer';

  let closing = false;
  /** Ends the connection, with the other side's consent or, after a second, without. */
  const leave = (code: number): void => {
    if (closing) return;
    closing = true;
    if (socket.isPaused) socket.resume(); // a paused socket would never see the other side's close frame
    if (socket.readyState === socket.CLOSED) return;
    socket.close(code);
    const timer = setTimeout(() => socket.terminate(), CLOSE_TIMEOUT_MS);
    socket.once('close', () => clearTimeout(timer));
  };
  const close = (code: number): void => {
    queue.clear();
    leave(code);
  };

  queue.onTaken = () => {
    if (socket.isPaused && queue.bytes < HIGH_WATER_BYTES && queue.length < HIGH_WATER_MESSAGES) socket.resume();
  };
  socket.on('message', (data, isBinary) => {
    if (closing) return;
    if (!isBinary) return close(CLOSE.unsupported);
    const message = Buffer.isBuffer(data) ? data : Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
    if (message.length > MAX_TRANSPORT_MESSAGE) return close(CLOSE.tooBig);
    queue.push(new Uint8Array(message.buffer, message.byteOffset, message.byteLength));
    if (queue.bytes >= HIGH_WATER_BYTES || queue.length >= HIGH_WATER_MESSAGES) socket.pause();
  });
  socket.on('error', () => {
    // What the error is does not matter to a channel; ws itself would wait 30 s for the other side.
    queue.end();
    leave(CLOSE.normal);
  });
  socket.on('close', () => queue.end());
  if (socket.isPaused) socket.resume(); // paused by who had it before, so that nothing was lost on the way here

  return {
    receive: () => queue.take(),
    close: () => close(CLOSE.normal),
    async send(message) {
      if (socket.readyState === socket.CONNECTING) await opened(socket);
      await send(socket, message);
    },
  };
}

/** Resolves at once below the high-water mark, else when this message has left for the kernel. */
function send(socket: WebSocket, message: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    if (socket.readyState !== socket.OPEN) return reject(transportClosed());
    socket.send(message, { binary: true, compress: false }, (error) => {
      if (error) reject(transportClosed());
      else resolve();
    });
    if (socket.bufferedAmount < HIGH_WATER_BYTES) resolve();
  });
}

function opened(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      socket.off('open', settle);
      socket.off('close', settle);
      if (socket.readyState === socket.OPEN) resolve();
      else reject(transportClosed());
    };
    socket.on('open', settle);
    socket.on('close', settle);
  });
}
