/** One direction's key with its count: the part that sealing and opening records have in common. */

import { wipe } from '../bytes.ts';
import type { AesGcm, Cryptography } from '../identity/cryptography.ts';
import { nextSecret, recordKey } from './key-schedule.ts';
import { type KeyLimits, MAX_RECORD_PLAINTEXT } from './limits.ts';

interface NonceKey {
  cipher: AesGcm;
  iv: Uint8Array;
}

export class KeyState {
  readonly #cryptography: Cryptography;
  readonly #limits: KeyLimits;
  #secret: Uint8Array;
  #current: NonceKey;
  #records = 0;
  #bytes = 0;
  #ended = false;

  /** Takes over `secret`. */
  static async start(cryptography: Cryptography, secret: Uint8Array, limits: KeyLimits): Promise<KeyState> {
    if (limits.records < 1 || limits.bytes < MAX_RECORD_PLAINTEXT)
      throw new RangeError('a key serves for one record at least');
    return new KeyState(cryptography, secret, limits, await cipherOf(cryptography, secret));
  }

  private constructor(cryptography: Cryptography, secret: Uint8Array, limits: KeyLimits, first: NonceKey) {
    this.#cryptography = cryptography;
    this.#secret = secret;
    this.#limits = limits;
    this.#current = first;
  }

  get fresh(): boolean {
    return this.#records === 0;
  }

  /** True when this key must not serve for so many bytes more. */
  wornOut(bytes: number): boolean {
    return this.#records >= this.#limits.records || this.#bytes + bytes > this.#limits.bytes;
  }

  /** Key and nonce for the next record of `bytes` plaintext bytes. */
  take(bytes: number): NonceKey {
    const iv = this.#current.iv.slice();
    const view = new DataView(iv.buffer);
    view.setBigUint64(4, view.getBigUint64(4) ^ BigInt(this.#records));
    this.#records += 1;
    this.#bytes += bytes;
    return { cipher: this.#current.cipher, iv };
  }

  async update(): Promise<void> {
    this.#secret = await nextSecret(this.#cryptography, this.#secret);
    this.#current.cipher.end();
    this.#current = await cipherOf(this.#cryptography, this.#secret);
    this.#records = 0;
    this.#bytes = 0;
    if (this.#ended) this.end(); // meanwhile
  }

  /** Forgets the keys. */
  end(): void {
    this.#ended = true;
    wipe(this.#secret);
    this.#current.cipher.end();
  }
}

async function cipherOf(cryptography: Cryptography, secret: Uint8Array): Promise<NonceKey> {
  const { key, iv } = await recordKey(cryptography, secret);
  return { cipher: await cryptography.aesGcm(key), iv };
}
