/** A queue of whole messages between an event source and `receive()`. Its filler watches `bytes` and `length`. */
export class MessageQueue {
  readonly #messages: Uint8Array[] = [];
  readonly #waiting: ((message: Uint8Array | undefined) => void)[] = [];
  #bytes = 0;
  #ended = false;
  /** Called after each message that was taken out. */
  onTaken: () => void = () => {};

  get bytes(): number {
    return this.#bytes;
  }

  get length(): number {
    return this.#messages.length;
  }

  /** After `end` it is dropped. */
  push(message: Uint8Array): void {
    if (this.#ended) return;
    const waiting = this.#waiting.shift();
    if (waiting === undefined) {
      this.#messages.push(message);
      this.#bytes += message.length;
    } else waiting(message);
  }

  /** No more will come; what is there can still be taken. */
  end(): void {
    this.#ended = true;
    for (const waiting of this.#waiting.splice(0)) waiting(undefined);
  }

  /** Drops what is there, too. */
  clear(): void {
    this.#messages.length = 0;
    this.#bytes = 0;
    this.end();
  }

  /** The next message; undefined once it has ended and is empty. */
  take(): Promise<Uint8Array | undefined> {
    const message = this.#messages.shift();
    if (message === undefined) {
      if (this.#ended) return Promise.resolve(undefined);
      return new Promise((resolve) => this.#waiting.push(resolve));
    }
    this.#bytes -= message.length;
    this.onTaken();
    return Promise.resolve(message);
  }
}
