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
import { concatBytes, equalBytes, wipe } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import { open, seal } from '../identity/aead.ts';
import { nextSecret, type RecordKey, recordKey } from './key-schedule.ts';
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

/** One direction's key with its count: the part that sealing and opening have in common. */
class KeyState {
  #secret: Uint8Array;
  #current: RecordKey;
  #records = 0;
  #bytes = 0;
  readonly #limits: KeyLimits;

  /** Takes over `secret`. */
  constructor(secret: Uint8Array, limits: KeyLimits) {
    if (limits.records < 1 || limits.bytes < MAX_RECORD_PLAINTEXT)
      throw new RangeError('a key serves for one record at least');
    this.#secret = secret;
    this.#current = recordKey(secret);
    this.#limits = limits;
  }

  get fresh(): boolean {
    return this.#records === 0;
  }

  /** True when this key must not serve for so many bytes more. */
  wornOut(bytes: number): boolean {
    return this.#records >= this.#limits.records || this.#bytes + bytes > this.#limits.bytes;
  }

  /** Key and nonce for the next record of `bytes` plaintext bytes. */
  take(bytes: number): RecordKey {
    const iv = this.#current.iv.slice();
    const view = new DataView(iv.buffer);
    view.setBigUint64(4, view.getBigUint64(4) ^ BigInt(this.#records));
    this.#records += 1;
    this.#bytes += bytes;
    return { key: this.#current.key, iv };
  }

  update(): void {
    this.#secret = nextSecret(this.#secret);
    wipe(this.#current.key);
    this.#current = recordKey(this.#secret);
    this.#records = 0;
    this.#bytes = 0;
  }

  wipe(): void {
    wipe(this.#secret);
    wipe(this.#current.key);
  }
}

/** Makes the records of one direction. They have to be sent in the order in which they were made. */
export class RecordSealer {
  readonly #key: KeyState;
  #over = false;

  constructor(secret: Uint8Array, limits: KeyLimits) {
    this.#key = new KeyState(secret, limits);
  }

  #seal(type: number, flags: number, body: Uint8Array): Uint8Array {
    if (this.#over) throw new VmcError('channel-closed', 'The channel is closed.');
    const header = Uint8Array.of(type, flags);
    const { key, iv } = this.#key.take(body.length);
    return concatBytes(header, seal(key, iv, header, body));
  }

  #keyUpdate(): Uint8Array {
    const record = this.#seal(TYPE.keyUpdate, 0, EMPTY);
    this.#key.update();
    return record;
  }

  confirmation(value: Uint8Array): Uint8Array {
    return this.#seal(TYPE.confirmation, 0, value);
  }

  /** The records of one message, sealed one by one as they are asked for. @throws VmcError 'limit' above 1 MiB. */
  *message(message: Uint8Array): Generator<Uint8Array, void, void> {
    if (message.length > MAX_MESSAGE)
      throw new VmcError('limit', `A message has at most ${MAX_MESSAGE} bytes, not ${message.length}.`);
    for (let at = 0; ; at += MAX_RECORD_PLAINTEXT) {
      const body = message.subarray(at, at + MAX_RECORD_PLAINTEXT);
      const last = at + body.length === message.length;
      if (this.#key.wornOut(body.length)) yield this.#keyUpdate();
      yield this.#seal(TYPE.data, last ? 0 : CONTINUES, body);
      if (last) return;
    }
  }

  /** The last records of this direction. */
  *close(): Generator<Uint8Array, void, void> {
    if (this.#key.wornOut(0)) yield this.#keyUpdate();
    const record = this.#seal(TYPE.close, 0, EMPTY);
    this.end();
    yield record;
  }

  /** Forgets the keys. */
  end(): void {
    this.#over = true;
    this.#key.wipe();
  }
}

export type Opened = { kind: 'message'; message: Uint8Array } | { kind: 'more' } | { kind: 'close' };

/** Opens the records of one direction, in order. The first thing that is not right ends it for good. */
export class RecordOpener {
  readonly #key: KeyState;
  #fragments: Uint8Array[] = [];
  #over = false;

  constructor(secret: Uint8Array, limits: KeyLimits) {
    this.#key = new KeyState(secret, limits);
  }

  /** @throws RecordRefused unless it is the confirmation that was expected. */
  confirmation(record: Uint8Array, expected: Uint8Array): void {
    const { type, body } = this.#guarded(() => this.#open(record));
    if (type !== TYPE.confirmation || !equalBytes(body, expected)) this.#refuse('type');
  }

  /** @throws RecordRefused */
  open(record: Uint8Array): Opened {
    return this.#guarded(() => this.#dispatch(record));
  }

  /** Forgets the keys and what there is of an unfinished message. */
  end(): void {
    this.#over = true;
    this.#fragments = [];
    this.#key.wipe();
  }

  #guarded<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      this.end();
      throw error;
    }
  }

  #refuse(what: RecordRefused['what']): never {
    this.end();
    throw new RecordRefused(what);
  }

  #open(record: Uint8Array): { type: number; flags: number; body: Uint8Array } {
    if (this.#over) this.#refuse('over');
    const length = record.length - RECORD_OVERHEAD;
    if (length < 0 || record.length > MAX_TRANSPORT_MESSAGE) this.#refuse('length');
    const header = record.subarray(0, RECORD_HEADER_BYTES);
    const [type = 0, flags = 0] = header;
    // Before the tag is checked these bytes only choose how to refuse.
    if (type !== TYPE.keyUpdate && this.#key.wornOut(length)) this.#refuse('key-worn-out');
    if (type === TYPE.keyUpdate && this.#key.fresh) this.#refuse('key-update');
    const { key, iv } = this.#key.take(length);
    const body = open(key, iv, header, record.subarray(RECORD_HEADER_BYTES));
    if (body === undefined) this.#refuse('tampered');
    return { type, flags, body };
  }

  #dispatch(record: Uint8Array): Opened {
    const { type, flags, body } = this.#open(record);
    if ((flags & ~(type === TYPE.data ? CONTINUES : 0)) !== 0) this.#refuse('type');
    if (type === TYPE.data) return this.#data(body, flags === CONTINUES);
    // Only data may come between the parts of a message, apart from a key update.
    if (body.length !== 0) this.#refuse('fragment');
    if (type === TYPE.keyUpdate) {
      this.#key.update();
      return { kind: 'more' };
    }
    if (type !== TYPE.close) this.#refuse('type');
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
