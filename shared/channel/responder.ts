/**
 * The side that is called. Pure: time, random, cryptography and the memory of old hellos arrive as arguments.
 * Steps, each once: readHello, answer, readConfirmation, split. Between the first two the caller decides whether this
 * proven peer may come in.
 */
import { concatBytes, equalBytes, wipe } from '../bytes.ts';
import type { Cryptography, Encapsulation } from '../identity/cryptography.ts';
import { statementBytes } from '../identity/framing.ts';
import type { Identity } from '../identity/identity.ts';
import type { X25519PublicKey } from '../identity/keys.ts';
import type { ResponderRandom } from './ephemeral.ts';
import { HELLO_CONTEXT, isFresh, Session, type Split } from './handshake.ts';
import { deriveChannelKeys } from './key-schedule.ts';
import type { KeyLimits } from './limits.ts';
import { HandshakeRefused, type ProvenPeer } from './refusal.ts';
import { Turn } from './turn.ts';
import { encodeResponderHello, type InitiatorFields, parseInitiatorHello } from './wire.ts';

export interface ResponderInput {
  cryptography: Cryptography;
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
  #session: Session | undefined;

  constructor(input: ResponderInput) {
    this.#input = input;
  }

  /**
   * Cheap checks first: form, recipient, time and memory cost microseconds and no key operation. The signature comes
   * before the question of rights, so that the answer (and how long it takes) goes only to the person it is about,
   * and an audit log names nobody on a stranger's word. Nothing is remembered here: a forged hello leaves no trace.
   * @throws HandshakeRefused
   */
  readHello(received: Uint8Array, { now, isReplay }: Circumstances): Promise<Claim> {
    return this.#turn.take('readHello', 'answer', () => {
      const hello = parseInitiatorHello(received);
      const own = this.#input.identity.public.ed25519;
      if (!equalBytes(hello.responder, own)) throw new HandshakeRefused('wrong-recipient');
      if (equalBytes(hello.initiator, own)) throw new HandshakeRefused('reflected');
      if (!isFresh(hello.time, now)) throw new HandshakeRefused('stale');
      if (isReplay(hello.initiator, hello.nonce)) throw new HandshakeRefused('replayed');
      const statement = statementBytes(HELLO_CONTEXT.initiator, [hello.signed]);
      if (!this.#input.cryptography.verify(statement, hello.initiator, hello.signature))
        throw new HandshakeRefused('bad-signature');
      this.#received = { bytes: concatBytes(hello.signed, hello.signature), hello };
      return { peer: hello.initiator, purpose: hello.purpose, nonce: hello.nonce };
    });
  }

  /** Both messages go out at once, in this order. Wipes what is secret in `random`. @throws HandshakeRefused 'weak-key' */
  answer(random: ResponderRandom, now: number): Promise<Answer> {
    return this.#turn.take('answer', 'readConfirmation', async () => {
      if (this.#received === undefined) throw new TypeError('no hello');
      const { cryptography, identity, limits } = this.#input;
      const { bytes, hello } = this.#received;
      const { ephemeral, encapsulation, x25519Secret } = agreeWith(hello, random, cryptography);
      const unsigned = encodeResponderHello({
        purpose: hello.purpose,
        initiator: hello.initiator,
        responder: identity.public.ed25519,
        x25519: ephemeral,
        ciphertext: encapsulation.ciphertext,
        time: now,
        nonce: random.nonce,
      });
      const statement = statementBytes(HELLO_CONTEXT.responder, [await cryptography.sha256(bytes), unsigned]);
      const signature = cryptography.sign(statement, identity.secret.ed25519, identity.public.ed25519);
      const answer = concatBytes(unsigned, signature);
      const keys = await deriveChannelKeys(cryptography, bytes, answer, encapsulation.sharedSecret, x25519Secret);
      this.#session = await Session.start(cryptography, keys, limits, 'responder');
      return { hello: answer, confirmation: await this.#session.writeConfirmation() };
    });
  }

  /** The initiator's first record. @throws HandshakeRefused 'not-confirmed' */
  readConfirmation(record: Uint8Array): Promise<void> {
    return this.#turn.take('readConfirmation', 'split', () => this.#open().readConfirmation(record));
  }

  /** Hands over the two directions. */
  split(): Promise<Split> {
    return this.#turn.take('split', undefined, () => {
      const split = this.#open().split();
      this.#session = undefined;
      return split;
    });
  }

  /** For a handshake that comes to nothing: forgets all its secrets. */
  end(): void {
    this.#session?.end();
  }

  #open(): Session {
    if (this.#session === undefined) throw new TypeError('no session');
    return this.#session;
  }
}

function agreeWith(
  hello: InitiatorFields,
  random: ResponderRandom,
  cryptography: Cryptography,
): { ephemeral: X25519PublicKey; encapsulation: Encapsulation; x25519Secret: Uint8Array } {
  const pair = cryptography.x25519Pair(random.x25519);
  try {
    const x25519Secret = pair.agree(hello.x25519);
    return { ephemeral: pair.publicKey, x25519Secret, encapsulation: random.encapsulate(hello.mlkem768) };
  } catch (cause) {
    throw new HandshakeRefused('weak-key', { cause });
  } finally {
    pair.forget();
    wipe(random.x25519);
  }
}
