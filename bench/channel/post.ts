/** A transport whose messages are carried by hand, so that one side can run while the other rests. */
import { type Transport, transportClosed } from '../../shared/channel/transport.ts';

export class Post implements Transport {
  readonly #sent: Uint8Array[] = [];
  readonly #received: Uint8Array[] = [];
  #receiver: ((message: Uint8Array | undefined) => void) | undefined;
  #idle = Promise.withResolvers<void>();

  async send(message: Uint8Array): Promise<void> {
    this.#sent.push(message);
  }

  receive(): Promise<Uint8Array | undefined> {
    const message = this.#received.shift();
    if (message !== undefined) return Promise.resolve(message);
    return new Promise((resolve) => {
      this.#receiver = resolve;
      this.#idle.resolve();
    });
  }

  /** The handshake failed: whoever waits for it learns so. */
  close(): void {
    this.#idle.reject(transportClosed());
  }

  /** Resolves when its side waits for the other's message. */
  waiting(): Promise<void> {
    return this.#idle.promise;
  }

  takeSent(): Uint8Array[] {
    return this.#sent.splice(0);
  }

  /** Puts messages in the box. A side that waits sleeps on until `wake`; one that has not asked yet will find them. */
  take(messages: readonly Uint8Array[]): void {
    this.#received.push(...messages);
  }

  wake(): void {
    const receiver = this.#receiver;
    this.#receiver = undefined;
    this.#idle = Promise.withResolvers();
    this.#idle.promise.catch(() => undefined); // of a handshake that fails nobody may be waiting here any more
    receiver?.(this.#received.shift());
  }
}
