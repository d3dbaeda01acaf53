/** What both sides of a handshake have in common. */
import type { Cryptography } from '../identity/cryptography.ts';
import type { ChannelKeys } from './key-schedule.ts';
import { FRESHNESS_MS, type KeyLimits } from './limits.ts';
import { RecordOpener, RecordSealer } from './records.ts';
import { HandshakeRefused } from './refusal.ts';

/** Contexts of the signed statements (identity/framing.ts) that hellos are. */
export const HELLO_CONTEXT = { initiator: 'channel initiator hello', responder: 'channel responder hello' } as const;

export const isFresh = (time: number, now: number): boolean => Math.abs(now - time) <= FRESHNESS_MS;

/** What a handshake is made for. */
export interface Split {
  sealer: RecordSealer;
  opener: RecordOpener;
}

type Role = keyof ChannelKeys;

/** The keys of one side between the hellos and the end of the handshake. */
export class Session {
  readonly #split: Split;
  readonly #keys: ChannelKeys;
  readonly #own: Role;
  readonly #other: Role;

  static async start(
    cryptography: Cryptography,
    keys: ChannelKeys,
    limits: KeyLimits,
    own: 'initiator' | 'responder',
  ): Promise<Session> {
    const other = own === 'initiator' ? 'responder' : 'initiator';
    const sealer = await RecordSealer.start(cryptography, keys[own].secret, limits);
    const opener = await RecordOpener.start(cryptography, keys[other].secret, limits);
    return new Session({ sealer, opener }, keys, own, other);
  }

  private constructor(split: Split, keys: ChannelKeys, own: Role, other: Role) {
    this.#split = split;
    this.#keys = keys;
    this.#own = own;
    this.#other = other;
  }

  writeConfirmation(): Promise<Uint8Array> {
    return this.#split.sealer.confirmation(this.#keys[this.#own].confirmation);
  }

  /** The other side's first record. @throws HandshakeRefused 'not-confirmed' */
  async readConfirmation(record: Uint8Array): Promise<void> {
    try {
      await this.#split.opener.confirmation(record, this.#keys[this.#other].confirmation);
    } catch (cause) {
      throw new HandshakeRefused('not-confirmed', { cause });
    }
  }

  split(): Split {
    return this.#split;
  }

  /** Forgets the keys. */
  end(): void {
    this.#split.sealer.end();
    this.#split.opener.end();
  }
}
