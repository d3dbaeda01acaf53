/**
 * The side that is called. Pure: time, random and memory of old hellos arrive as arguments, bytes go in and out.
 * Steps, each once: readHello, answer, readConfirmation, split. Between the first two the caller decides whether this
 * proven peer may come in.
 */
import { concatBytes, equalBytes, wipe } from '../bytes.ts';
import { sha256 } from '../identity/hkdf.ts';
import type { Identity } from '../identity/identity.ts';
import { agree, type Encapsulation, x25519FromSecret } from '../identity/native.ts';
import { signStatementNatively, verifyStatement } from '../identity/statement.ts';
import type { ResponderRandom } from './ephemeral.ts';
import { HELLO_CONTEXT, isFresh, type Split } from './handshake.ts';
import { type ChannelKeys, deriveChannelKeys } from './key-schedule.ts';
import type { KeyLimits } from './limits.ts';
import { RecordOpener, RecordSealer } from './records.ts';
import { HandshakeRefused, type ProvenPeer } from './refusal.ts';
import { Turn } from './turn.ts';
import { encodeResponderHello, type InitiatorFields, parseInitiatorHello } from './wire.ts';

export interface ResponderInput {
  identity: Identity;
  limits: KeyLimits;
}

export interface Circumstances {
  /** Milliseconds since 1970. */
  now: number;
  /** Was a hello of this sender with this nonce here before? */
  isReplay(sender: Uint8Array, nonce: Uint8Array): boolean;
}

/** A hello whose signature holds. */
export interface Claim extends ProvenPeer {
  readonly nonce: Uint8Array;
}

export interface Answer {
  hello: Uint8Array;
  confirmation: Uint8Array;
}

type Step = 'readHello' | 'answer' | 'readConfirmation' | 'split';

export class Responder {
  readonly #turn = new Turn<Step>('readHello');
  readonly #input: ResponderInput;
  #received: { bytes: Uint8Array; hello: InitiatorFields } | undefined;
  #session: (Split & { keys: ChannelKeys }) | undefined;

  constructor(input: ResponderInput) {
    this.#input = input;
  }

  /**
   * Cheap checks first: form, recipient, time and memory cost microseconds and no key operation. The signature comes
   * before the question of rights, so that the answer (and how long it takes) goes only to the person it is about,
   * and an audit log names nobody on a stranger's word. Nothing is remembered here: a forged hello leaves no trace.
   * @throws HandshakeRefused
   */
  readHello(received: Uint8Array, { now, isReplay }: Circumstances): Claim {
    return this.#turn.take('readHello', 'answer', () => {
      const hello = parseInitiatorHello(received);
      const own = this.#input.identity.public.ed25519;
      if (!equalBytes(hello.responder, own)) throw new HandshakeRefused('wrong-recipient');
      if (equalBytes(hello.initiator, own)) throw new HandshakeRefused('reflected');
      if (!isFresh(hello.time, now)) throw new HandshakeRefused('stale');
      if (isReplay(hello.initiator, hello.nonce)) throw new HandshakeRefused('replayed');
      if (!verifyStatement(hello.initiator, HELLO_CONTEXT.initiator, [hello.signed], hello.signature))
        throw new HandshakeRefused('bad-signature');
      this.#received = { bytes: concatBytes(hello.signed, hello.signature), hello };
      return { peer: hello.initiator, purpose: hello.purpose, nonce: hello.nonce };
    });
  }

  /** Both messages go out at once, in this order. @throws HandshakeRefused 'weak-key' */
  answer(random: ResponderRandom, now: number): Answer {
    return this.#turn.take('answer', 'readConfirmation', () => {
      if (this.#received === undefined) throw new TypeError('no hello');
      const { identity, limits } = this.#input;
      const { bytes, hello } = this.#received;
      const { encapsulation, x25519Secret } = agreeWith(hello, random);
      const unsigned = encodeResponderHello({
        purpose: hello.purpose,
        initiator: hello.initiator,
        responder: identity.public.ed25519,
        x25519: x25519FromSecret(random.x25519),
        ciphertext: encapsulation.ciphertext,
        time: now,
        nonce: random.nonce,
      });
      wipe(random.x25519);
      const signed = signStatementNatively(identity, HELLO_CONTEXT.responder, [sha256(bytes), unsigned]);
      const answer = concatBytes(unsigned, signed);
      const keys = deriveChannelKeys(bytes, answer, encapsulation.sharedSecret, x25519Secret);
      const sealer = new RecordSealer(keys.responder.secret, limits);
      const opener = new RecordOpener(keys.initiator.secret, limits);
      this.#session = { sealer, opener, keys };
      return { hello: answer, confirmation: sealer.confirmation(keys.responder.confirmation) };
    });
  }

  /** The initiator's first record. @throws HandshakeRefused 'not-confirmed' */
  readConfirmation(record: Uint8Array): void {
    this.#turn.take('readConfirmation', 'split', () => {
      const { opener, keys } = this.#open();
      try {
        opener.confirmation(record, keys.initiator.confirmation);
      } catch (cause) {
        throw new HandshakeRefused('not-confirmed', { cause });
      }
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

  #open(): Split & { keys: ChannelKeys } {
    if (this.#session === undefined) throw new TypeError('no session');
    return this.#session;
  }
}

function agreeWith(
  hello: InitiatorFields,
  random: ResponderRandom,
): { encapsulation: Encapsulation; x25519Secret: Uint8Array } {
  try {
    return { x25519Secret: agree(random.x25519, hello.x25519), encapsulation: random.encapsulate(hello.mlkem768) };
  } catch (cause) {
    throw new HandshakeRefused('weak-key', { cause });
  }
}
