/** What a channel runs over: whole messages, in order, with back-pressure. Nothing of it is trusted. */
import { VmcError } from '../errors.ts';
import { MessageQueue } from './message-queue.ts';

export interface Transport {
  /** Resolves when more may be sent. @throws VmcError 'channel-closed' when it has ended. */
  send(message: Uint8Array): Promise<void>;
  /** The next message; undefined when the other side ended or the connection broke: a transport cannot tell which. */
  receive(): Promise<Uint8Array | undefined>;
  /** Ends both directions; what was sent still goes out if it can. A pending `receive` gives undefined. */
  close(): void;
}

export const transportClosed = (): VmcError => new VmcError('channel-closed', 'The connection has ended.');

export interface MemoryPairOptions {
  /** Bytes that wait in one direction before `send` waits (default 2 MiB: one message of the greatest length fits). */
  highWaterBytes?: number;
  /** After so many bytes, both directions together, the connection breaks. */
  cutAfterBytes?: number;
}

/** Two transports joined in memory, for tests and for peers in one process. */
export function memoryPair({
  highWaterBytes = 2 * 1024 * 1024,
  cutAfterBytes = Infinity,
}: MemoryPairOptions = {}): [Transport, Transport] {
  const line = new MemoryLine(highWaterBytes, cutAfterBytes);
  return [line.end(0), line.end(1)];
}

class MemoryLine {
  readonly #queues = [new MessageQueue(), new MessageQueue()] as const;
  readonly #highWater: number;
  #blocked: { queue: MessageQueue; resume: (error?: VmcError) => void }[] = [];
  #left: number;
  #closed = false;

  constructor(highWater: number, cutAfterBytes: number) {
    this.#highWater = highWater;
    this.#left = cutAfterBytes;
    for (const queue of this.#queues) queue.onTaken = () => this.#resume(queue);
  }

  end(side: 0 | 1): Transport {
    const outgoing = this.#queues[side === 0 ? 1 : 0];
    const incoming = this.#queues[side];
    return {
      send: (message) => this.#send(outgoing, message),
      receive: () => incoming.take(),
      close: () => {
        incoming.clear();
        this.#close();
      },
    };
  }

  #send(queue: MessageQueue, message: Uint8Array): Promise<void> {
    if (this.#closed) return Promise.reject(transportClosed());
    this.#left -= message.length;
    if (this.#left < 0) {
      this.#close();
      return Promise.reject(transportClosed());
    }
    queue.push(message.slice());
    if (queue.bytes <= this.#highWater) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#blocked.push({ queue, resume: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  }

  #resume(queue: MessageQueue): void {
    if (queue.bytes > this.#highWater) return;
    const ready = this.#blocked.filter((entry) => entry.queue === queue);
    this.#blocked = this.#blocked.filter((entry) => entry.queue !== queue);
    for (const { resume } of ready) resume();
  }

  #close(): void {
    this.#closed = true;
    for (const queue of this.#queues) queue.end();
    for (const { resume } of this.#blocked.splice(0)) resume(transportClosed());
  }
}
