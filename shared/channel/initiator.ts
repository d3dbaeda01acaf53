/**
 * The side that opens a channel. Pure: time and random arrive as arguments, bytes go in and out.
 * Steps, each once: writeHello, readHello, readConfirmation, writeConfirmation, split.
 */
import { concatBytes, equalBytes, wipe } from '../bytes.ts';
import { sha256 } from '../identity/hkdf.ts';
import type { Identity } from '../identity/identity.ts';
import type { Ed25519PublicKey } from '../identity/keys.ts';
import { agree, mlKemDecapsulate, mlKemFromSeed, x25519FromSecret } from '../identity/native.ts';
import { type signStatement, verifyStatement } from '../identity/statement.ts';
import type { InitiatorRandom } from './ephemeral.ts';
import { HELLO_CONTEXT, isFresh, type Split } from './handshake.ts';
import { type ChannelKeys, deriveChannelKeys } from './key-schedule.ts';
import type { KeyLimits } from './limits.ts';
import { RecordOpener, RecordSealer } from './records.ts';
import { HandshakeRefused } from './refusal.ts';
import { Turn } from './turn.ts';
import { encodeInitiatorHello, type Purpose, parseResponderHello, type ResponderFields } from './wire.ts';

export interface InitiatorInput {
  identity: Identity;
  /** The pinned identity of the other side. */
  peer: Ed25519PublicKey;
  purpose: Purpose;
  random: InitiatorRandom;
  limits: KeyLimits;
  /** `signStatement`, or its fast twin where there is Node. */
  sign: typeof signStatement;
}

type Step = 'writeHello' | 'readHello' | 'readConfirmation' | 'writeConfirmation' | 'split';

export class Initiator {
  readonly #turn = new Turn<Step>('writeHello');
  readonly #input: InitiatorInput;
  #hello: Uint8Array = new Uint8Array(0);
  #session: (Split & { keys: ChannelKeys }) | undefined;

  constructor(input: InitiatorInput) {
    this.#input = input;
  }

  /** @param now milliseconds since 1970. */
  writeHello(now: number): Uint8Array {
    return this.#turn.take('writeHello', 'readHello', () => {
      const { identity, peer, purpose, random, sign } = this.#input;
      const unsigned = encodeInitiatorHello({
        purpose,
        initiator: identity.public.ed25519,
        responder: peer,
        x25519: x25519FromSecret(random.x25519),
        mlkem768: mlKemFromSeed(random.mlkem768),
        time: now,
        nonce: random.nonce,
      });
      this.#hello = concatBytes(unsigned, sign(identity, HELLO_CONTEXT.initiator, [unsigned]));
      return this.#hello;
    });
  }

  /** @throws HandshakeRefused */
  readHello(received: Uint8Array, now: number): void {
    this.#turn.take('readHello', 'readConfirmation', () => {
      const { random, limits } = this.#input;
      const hello = parseResponderHello(received);
      this.#check(hello, now);
      if (
        !verifyStatement(hello.responder, HELLO_CONTEXT.responder, [sha256(this.#hello), hello.signed], hello.signature)
      )
        throw new HandshakeRefused('bad-signature');
      const kemSecret = mlKemDecapsulate(random.mlkem768, hello.ciphertext);
      const keys = deriveChannelKeys(this.#hello, received, kemSecret, this.#agree(hello));
      wipe(random.mlkem768);
      wipe(random.x25519);
      const sealer = new RecordSealer(keys.initiator.secret, limits);
      const opener = new RecordOpener(keys.responder.secret, limits);
      this.#session = { sealer, opener, keys };
    });
  }

  /** The responder's first record. @throws HandshakeRefused 'not-confirmed' */
  readConfirmation(record: Uint8Array): void {
    this.#turn.take('readConfirmation', 'writeConfirmation', () => {
      const { opener, keys } = this.#open();
      try {
        opener.confirmation(record, keys.responder.confirmation);
      } catch (cause) {
        throw new HandshakeRefused('not-confirmed', { cause });
      }
    });
  }

  writeConfirmation(): Uint8Array {
    return this.#turn.take('writeConfirmation', 'split', () => {
      const { sealer, keys } = this.#open();
      return sealer.confirmation(keys.initiator.confirmation);
    });
  }

  /** Hands over the two directions. */
  split(): Split {
    return this.#turn.take('split', undefined, () => {
      const { sealer, opener } = this.#open();
      this.#session = undefined;
      return { sealer, opener };
    });
  }

  #check(hello: ResponderFields, now: number): void {
    const { identity, peer, purpose } = this.#input;
    if (!equalBytes(hello.responder, peer)) throw new HandshakeRefused('wrong-peer');
    if (!equalBytes(hello.initiator, identity.public.ed25519)) throw new HandshakeRefused('wrong-recipient');
    if (hello.purpose !== purpose) throw new HandshakeRefused('malformed');
    if (!isFresh(hello.time, now)) throw new HandshakeRefused('stale');
  }

  #agree(hello: ResponderFields): Uint8Array {
    try {
      return agree(this.#input.random.x25519, hello.x25519);
    } catch (cause) {
      throw new HandshakeRefused('weak-key', { cause });
    }
  }

  #open(): Split & { keys: ChannelKeys } {
    if (this.#session === undefined) throw new TypeError('no session');
    return this.#session;
  }
}
