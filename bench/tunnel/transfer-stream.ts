/** The user's end of one bulk transfer: connected and ready first, so that only the bytes are timed. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { DIGEST_BYTES, encodeOrder, GO, type Order, READY } from './load-wire.ts';
import { READ_BUFFER, sendPattern } from './send-pattern.ts';

export class TransferStream {
  readonly #order: Order;
  readonly #socket: Socket;
  readonly #ready = Promise.withResolvers<void>();
  readonly #done = Promise.withResolvers<string | null>();
  #isReady = false;

  constructor(port: number, order: Order) {
    this.#order = order;
    const receive = order.direction === 'up' ? this.#digest() : this.#sink();
    const callback = (length: number): boolean => {
      const chunk = READ_BUFFER.subarray(0, length);
      if (this.#isReady) receive(chunk);
      else this.#start(chunk);
      return true;
    };
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer: READ_BUFFER, callback } });
    this.#socket.on('error', () => {}); // 'close' follows
    this.#socket.once('close', () => this.#fail(new Error('the connection was cut')));
    this.#socket.write(encodeOrder(order));
    this.#done.promise.catch(() => {}); // whoever waits learns of it
  }

  /** Resolves when the service is ready at the other end. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** @returns SHA-256 of what came to the far end, when asked for, once the last byte is there. */
  async go(): Promise<string | null> {
    const { direction, bytes } = this.#order;
    if (direction === 'up') await sendPattern(this.#socket, bytes);
    else this.#socket.write(Buffer.of(GO));
    return this.#done.promise;
  }

  async close(): Promise<void> {
    if (this.#socket.closed) return;
    const closed = once(this.#socket, 'close');
    this.#socket.end();
    await closed;
  }

  #start(chunk: Buffer): void {
    this.#isReady = chunk.length === 1 && chunk[0] === READY;
    if (this.#isReady) this.#ready.resolve();
    else this.#fail(new Error('the service did not say that it is ready'));
  }

  #fail(error: Error): void {
    this.#ready.reject(error);
    this.#done.reject(error);
  }

  #digest(): (chunk: Buffer) => void {
    let digest = Buffer.alloc(0);
    return (chunk) => {
      digest = Buffer.concat([digest, chunk]);
      if (digest.length >= DIGEST_BYTES) this.#done.resolve(this.#order.hashed ? digest.toString('hex') : null);
    };
  }

  #sink(): (chunk: Buffer) => void {
    const hash = this.#order.hashed ? createHash('sha256') : undefined;
    let received = 0;
    return (chunk) => {
      received += chunk.length;
      hash?.update(chunk);
      if (received > this.#order.bytes) this.#fail(new Error('too many bytes came'));
      if (received === this.#order.bytes) this.#done.resolve(hash?.digest('hex') ?? null);
    };
  }
}
