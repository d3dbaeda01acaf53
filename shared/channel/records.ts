/**
 * Records: what a channel sends after the hellos, one in each transport message.
 *
 *   0  1  type: 16 confirmation, 17 data, 18 key update, 19 close
 *   1  1  flags: bit 0 = the message goes on in the next record (data only)
 *   2  n  body, encrypted with AES-256-GCM; the two bytes before are authenticated with it
 * 2+n 16  tag
 *
 * The nonce is the IV with the record's number under this key (64 bits, big-endian) xored into its last 8 bytes.
 * Each direction has keys of its own, so a record that comes back, late, twice or not at all does not open, or
 * leaves the next one that does not open.
 */
import { concatBytes, equalBytes } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import type { Cryptography } from '../identity/cryptography.ts';
import { KeyState } from './key-state.ts';
import {
  type KeyLimits,
  MAX_MESSAGE,
  MAX_RECORD_PLAINTEXT,
  MAX_TRANSPORT_MESSAGE,
  RECORD_HEADER_BYTES,
  RECORD_OVERHEAD,
} from './limits.ts';

const TYPE = { confirmation: 16, data: 17, keyUpdate: 18, close: 19 } as const;
const CONTINUES = 1;
const EMPTY = new Uint8Array(0);

/** A record that ends the channel. `what` is for logs and tests; nothing of it reaches the peer. */
export class RecordRefused extends VmcError {
  readonly what:
    | 'length'
    | 'type'
    | 'tampered'
    | 'fragment'
    | 'message-length'
    | 'key-worn-out'
    | 'key-update'
    | 'over';

  constructor(what: RecordRefused['what']) {
    super('channel-closed', 'The channel was tampered with on its way, or the other side broke its rules.');
    this.name = 'RecordRefused';
    this.what = what;
  }
}

/** Order is everything to records: who asks for one before the last has come has a defect. */
class Alone {
  #busy = false;

  /** @returns what to call at the end. */
  enter(): () => void {
    if (this.#busy) throw new TypeError('records are made, and opened, one after the other');
    this.#busy = true;
    return () => {
      this.#busy = false;
    };
  }
}

/** Makes the records of one direction. They have to be sent in the order in which they were made. */
export class RecordSealer {
  readonly #key: KeyState;
  readonly #alone = new Alone();
  #over = false;

  /** Takes over `secret`. */
  static async start(cryptography: Cryptography, secret: Uint8Array, limits: KeyLimits): Promise<RecordSealer> {
    return new RecordSealer(await KeyState.start(cryptography, secret, limits));
  }

  private constructor(key: KeyState) {
    this.#key = key;
  }

  async #seal(type: number, flags: number, body: Uint8Array): Promise<Uint8Array> {
    this.#checkOpen();
    const { cipher, iv } = this.#key.take(body.length);
    const record = await cipher.seal(iv, Uint8Array.of(type, flags), body);
    this.#checkOpen(); // the key may have been wiped while it was in use
    return record;
  }

  #checkOpen(): void {
    if (this.#over) throw new VmcError('channel-closed', 'The channel is closed.');
  }

  async #keyUpdate(): Promise<Uint8Array> {
    const record = await this.#seal(TYPE.keyUpdate, 0, EMPTY);
    await this.#key.update();
    return record;
  }

  async confirmation(value: Uint8Array): Promise<Uint8Array> {
    const leave = this.#alone.enter();
    try {
      return await this.#seal(TYPE.confirmation, 0, value);
    } finally {
      leave();
    }
  }

  /** The records of one message, sealed one by one as they are asked for. @throws VmcError 'limit' above 1 MiB. */
  async *message(message: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
    if (message.length > MAX_MESSAGE)
      throw new VmcError('limit', `A message has at most ${MAX_MESSAGE} bytes, not ${message.length}.`);
    const leave = this.#alone.enter();
    try {
      for (let at = 0; ; at += MAX_RECORD_PLAINTEXT) {
        const body = message.subarray(at, at + MAX_RECORD_PLAINTEXT);
        const last = at + body.length === message.length;
        if (this.#key.wornOut(body.length)) yield await this.#keyUpdate();
        yield await this.#seal(TYPE.data, last ? 0 : CONTINUES, body);
        if (last) return;
      }
    } finally {
      leave();
    }
  }

  /** The last records of this direction. */
  async *close(): AsyncGenerator<Uint8Array, void, void> {
    const leave = this.#alone.enter();
    try {
      if (this.#key.wornOut(0)) yield await this.#keyUpdate();
      const record = await this.#seal(TYPE.close, 0, EMPTY);
      this.end();
      yield record;
    } finally {
      leave();
    }
  }

  /** Forgets the keys. */
  end(): void {
    this.#over = true;
    this.#key.end();
  }
}

export type Opened = { kind: 'message'; message: Uint8Array } | { kind: 'more' } | { kind: 'close' };

/** Opens the records of one direction, in order. The first thing that is not right ends it for good. */
export class RecordOpener {
  readonly #key: KeyState;
  readonly #alone = new Alone();
  #fragments: Uint8Array[] = [];
  #over = false;

  /** Takes over `secret`. */
  static async start(cryptography: Cryptography, secret: Uint8Array, limits: KeyLimits): Promise<RecordOpener> {
    return new RecordOpener(await KeyState.start(cryptography, secret, limits));
  }

  private constructor(key: KeyState) {
    this.#key = key;
  }

  /** @throws RecordRefused unless it is the confirmation that was expected. */
  confirmation(record: Uint8Array, expected: Uint8Array): Promise<void> {
    return this.#guarded(async () => {
      const { type, flags, body } = await this.#open(record);
      if (type !== TYPE.confirmation || flags !== 0 || !equalBytes(body, expected)) this.#refuse('type');
    });
  }

  /** @throws RecordRefused */
  open(record: Uint8Array): Promise<Opened> {
    return this.#guarded(() => this.#dispatch(record));
  }

  /** Forgets the keys and what there is of an unfinished message. */
  end(): void {
    this.#over = true;
    this.#fragments = [];
    this.#key.end();
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    const leave = this.#alone.enter();
    try {
      return await work();
    } catch (error) {
      this.end();
      throw error;
    } finally {
      leave();
    }
  }

  #refuse(what: RecordRefused['what']): never {
    this.end();
    throw new RecordRefused(what);
  }

  async #open(record: Uint8Array): Promise<{ type: number; flags: number; body: Uint8Array }> {
    if (this.#over) this.#refuse('over');
    const length = record.length - RECORD_OVERHEAD;
    if (length < 0 || record.length > MAX_TRANSPORT_MESSAGE) this.#refuse('length');
    const [type = 0, flags = 0] = record;
    // Before the tag is checked these bytes only choose how to refuse.
    if (type !== TYPE.keyUpdate && this.#key.wornOut(length)) this.#refuse('key-worn-out');
    if (type === TYPE.keyUpdate && this.#key.fresh) this.#refuse('key-update');
    const { cipher, iv } = this.#key.take(length);
    const body = await cipher.open(iv, RECORD_HEADER_BYTES, record);
    if (this.#over) this.#refuse('over'); // it ended meanwhile
    if (body === undefined) this.#refuse('tampered');
    return { type, flags, body };
  }

  async #dispatch(record: Uint8Array): Promise<Opened> {
    const { type, flags, body } = await this.#open(record);
    if ((flags & ~(type === TYPE.data ? CONTINUES : 0)) !== 0) this.#refuse('type');
    if (type === TYPE.data) return this.#data(body, flags === CONTINUES);
    if (type !== TYPE.keyUpdate && type !== TYPE.close) this.#refuse('type');
    if (body.length !== 0) this.#refuse('fragment');
    if (type === TYPE.keyUpdate) {
      await this.#key.update();
      return { kind: 'more' };
    }
    if (this.#fragments.length > 0) this.#refuse('fragment');
    this.end();
    return { kind: 'close' };
  }

  #data(body: Uint8Array, continues: boolean): Opened {
    // A part that is not the last is full: a million empty ones cannot be piled up.
    if (continues && body.length !== MAX_RECORD_PLAINTEXT) this.#refuse('fragment');
    const before = this.#fragments.length * MAX_RECORD_PLAINTEXT;
    // One that goes on will have at least a byte more.
    if (before + body.length + (continues ? 1 : 0) > MAX_MESSAGE) this.#refuse('message-length');
    if (continues) {
      this.#fragments.push(body);
      return { kind: 'more' };
    }
    if (before > 0 && body.length === 0) this.#refuse('fragment');
    const message = before === 0 ? body : concatBytes(...this.#fragments, body);
    this.#fragments = [];
    return { kind: 'message', message };
  }
}
