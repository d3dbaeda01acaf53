/** The service that the tunnel leads to: a source, a sink and an echo, as cheap as Node can be. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { serveWorker } from '../serve-worker.ts';
import { DIGEST_BYTES, decodeOrder, ECHO, ORDER_BYTES, READY } from './load-wire.ts';
import { READ_BUFFER, sendPattern } from './send-pattern.ts';

serveWorker({
  async listen() {
    const server = createServer({ pauseOnConnect: true }, serve);
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
    await once(server, 'listening');
    return { port: (server.address() as AddressInfo).port };
  },
});

function serve(accepted: Socket): void {
  let take = readOrder;
  const socket = readingIntoBuffer(accepted, (chunk) => take(chunk));
  socket.setNoDelay(true).on('error', () => {}); // the user learns of it, too
  let head = Buffer.alloc(0);

  function readOrder(chunk: Buffer): void {
    head = Buffer.concat([head, chunk]);
    if (head[0] === ECHO) {
      take = echo;
      echo(head);
      return;
    }
    if (head.length < ORDER_BYTES) return;
    const order = decodeOrder(head.subarray(0, ORDER_BYTES));
    take = order.direction === 'up' ? sink(order.bytes, order.hashed) : source(order.bytes);
    socket.write(Buffer.of(READY));
    if (head.length > ORDER_BYTES) take(head.subarray(ORDER_BYTES));
  }

  const echo = (chunk: Buffer): void => void socket.write(Buffer.from(chunk));

  const source = (bytes: number) => () => void sendPattern(socket, bytes).catch(() => socket.destroy());

  function sink(bytes: number, hashed: boolean): (chunk: Buffer) => void {
    const hash = hashed ? createHash('sha256') : undefined;
    let received = 0;
    return (chunk) => {
      received += chunk.length;
      hash?.update(chunk);
      if (received > bytes) socket.destroy();
      if (received === bytes) socket.write(hash?.digest() ?? Buffer.alloc(DIGEST_BYTES));
    };
  }
}

/**
 * Node has `onread` for sockets that connect (net.connect), not for those that a server accepted; so the accepted one
 * hands its handle to a new one. It takes a third of the CPU time, and leaves it to what is measured.
 */
function readingIntoBuffer(accepted: Socket, take: (chunk: Buffer) => void): Socket {
  const owner = accepted as unknown as { _handle: object | null };
  const handle = owner._handle;
  owner._handle = null;
  const callback = (bytes: number): boolean => {
    take(READ_BUFFER.subarray(0, bytes));
    return true;
  };
  const socket = new Socket({ handle, onread: { buffer: READ_BUFFER, callback } } as object);
  return socket.resume();
}
