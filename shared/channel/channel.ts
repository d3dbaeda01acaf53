/** An open channel: encrypted messages, in order, all or a loud error; its end is authenticated too. */
import { VmcError } from '../errors.ts';
import type { Ed25519PublicKey } from '../identity/keys.ts';
import type { Split } from './handshake.ts';
import { CLOSE_GRACE_MS } from './limits.ts';
import { OneByOne } from './one-by-one.ts';
import type { ProvenPeer } from './refusal.ts';
import type { Transport } from './transport.ts';
import type { Purpose } from './wire.ts';

export interface Channel {
  readonly peer: Ed25519PublicKey;
  readonly purpose: Purpose;
  /**
   * Sends one message of 0 bytes to 1 MiB; resolves when more may be sent. Leave the bytes alone until then.
   * @throws VmcError 'channel-closed', 'limit' for a message that is too long (the channel lives on).
   */
  send(message: Uint8Array): Promise<void>;
  /**
   * The next message; undefined only when the other side closed, proven by its key. Messages that are under way when
   * this side closes still arrive here.
   * @throws VmcError 'channel-closed' when the connection was cut or tampered with, or after `abort`.
   */
  receive(): Promise<Uint8Array | undefined>;
  /** Says goodbye, waits (2 s at most) for the other side's, and ends the connection. Never throws. */
  close(): Promise<void>;
  /** Ends the connection at once; the other side sees a cut. */
  abort(): void;
}

export class SecureChannel implements Channel {
  readonly peer: Ed25519PublicKey;
  readonly purpose: Purpose;
  readonly #transport: Transport;
  readonly #records: Split;
  readonly #sending = new OneByOne();
  readonly #receiving = new OneByOne();
  #failure: VmcError | undefined;
  /** The other side said goodbye. */
  #ended = false;
  #closing: Promise<void> | undefined;

  constructor(transport: Transport, { peer, purpose }: ProvenPeer, records: Split) {
    this.peer = peer;
    this.purpose = purpose;
    this.#transport = transport;
    this.#records = records;
  }

  send(message: Uint8Array): Promise<void> {
    return this.#sending.run(() => {
      if (this.#closing !== undefined) throw this.#failure ?? new VmcError('channel-closed', 'The channel is closed.');
      return this.#sendAll(this.#records.sealer.message(message));
    });
  }

  receive(): Promise<Uint8Array | undefined> {
    return this.#receiving.run(() => this.#next());
  }

  close(): Promise<void> {
    this.#closing ??= this.#goodbye();
    return this.#closing;
  }

  abort(): void {
    this.#fail(new VmcError('channel-closed', 'The channel was ended on this side.'));
  }

  async #sendAll(records: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const record of records) {
        if (this.#failure !== undefined) throw this.#failure;
        await this.#transport.send(record);
      }
    } catch (cause) {
      if (cause instanceof VmcError && cause.code === 'limit') throw cause; // nothing of it was sent
      throw this.#fail(cutOff(cause));
    }
  }

  async #next(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return undefined;
      const record = await this.#transport.receive();
      if (this.#failure !== undefined) throw this.#failure;
      if (record === undefined) throw this.#fail(cutOff());
      const opened = await this.#open(record);
      if (this.#failure !== undefined) throw this.#failure;
      if (opened.kind === 'message') return opened.message;
      if (opened.kind === 'close') {
        this.#ended = true;
        void this.close(); // answers it
        return undefined;
      }
    }
  }

  async #open(record: Uint8Array) {
    try {
      return await this.#records.opener.open(record);
    } catch (error) {
      throw this.#fail(error instanceof VmcError ? error : cutOff(error));
    }
  }

  async #goodbye(): Promise<void> {
    const patience = setTimeout(() => this.#fail(cutOff()), CLOSE_GRACE_MS);
    try {
      await this.#sending.run(() => this.#sendAll(this.#records.sealer.close()));
      while ((await this.receive()) !== undefined);
    } catch {
      // It was cut meanwhile. Who still receives learns of it; who closes has nothing left to lose.
    }
    clearTimeout(patience);
    this.#transport.close();
    this.#records.sealer.end();
    this.#records.opener.end();
  }

  /** The first failure stays the one that all callers see. */
  #fail(failure: VmcError): VmcError {
    this.#failure ??= failure;
    this.#closing ??= Promise.resolve();
    this.#transport.close();
    this.#records.sealer.end();
    this.#records.opener.end();
    return this.#failure;
  }
}

const cutOff = (cause?: unknown): VmcError =>
  new VmcError('channel-closed', 'The connection was cut before the other side closed the channel.', undefined, {
    cause,
  });
