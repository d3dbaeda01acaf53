/**
 * The side that opens a channel. Pure: time, random and cryptography arrive as arguments, bytes go in and out.
 * Steps, each once: writeHello, readHello, readConfirmation, writeConfirmation, split.
 */
import { concatBytes, equalBytes, wipe } from '../bytes.ts';
import type { Cryptography, MlKemPair, X25519Pair } from '../identity/cryptography.ts';
import { statementBytes } from '../identity/framing.ts';
import type { Identity } from '../identity/identity.ts';
import type { Ed25519PublicKey } from '../identity/keys.ts';
import type { InitiatorRandom } from './ephemeral.ts';
import { HELLO_CONTEXT, isFresh, Session, type Split } from './handshake.ts';
import { deriveChannelKeys } from './key-schedule.ts';
import type { KeyLimits } from './limits.ts';
import { HandshakeRefused } from './refusal.ts';
import { Turn } from './turn.ts';
import { encodeInitiatorHello, type Purpose, parseResponderHello, type ResponderFields } from './wire.ts';

export interface InitiatorInput {
  cryptography: Cryptography;
  identity: Identity;
  /** The pinned identity of the other side. */
  peer: Ed25519PublicKey;
  purpose: Purpose;
  /** Wiped here. */
  random: InitiatorRandom;
  limits: KeyLimits;
}

type Step = 'writeHello' | 'readHello' | 'readConfirmation' | 'writeConfirmation' | 'split';

/** Between the two hellos. */
interface Sent {
  hello: Uint8Array;
  x25519: X25519Pair;
  mlKem: MlKemPair;
}

export class Initiator {
  readonly #turn = new Turn<Step>('writeHello');
  readonly #input: InitiatorInput;
  #sent: Sent | undefined;
  #session: Session | undefined;

  constructor(input: InitiatorInput) {
    this.#input = input;
  }

  /** @param now milliseconds since 1970. */
  writeHello(now: number): Promise<Uint8Array> {
    return this.#turn.take('writeHello', 'readHello', () => {
      const { cryptography, identity, peer, purpose, random } = this.#input;
      const x25519 = cryptography.x25519Pair(random.x25519);
      const mlKem = cryptography.mlKemPair(random.mlkem768);
      const unsigned = encodeInitiatorHello({
        purpose,
        initiator: identity.public.ed25519,
        responder: peer,
        x25519: x25519.publicKey,
        mlkem768: mlKem.publicKey,
        time: now,
        nonce: random.nonce,
      });
      const statement = statementBytes(HELLO_CONTEXT.initiator, [unsigned]);
      const signature = cryptography.sign(statement, identity.secret.ed25519, identity.public.ed25519);
      this.#sent = { hello: concatBytes(unsigned, signature), x25519, mlKem };
      return this.#sent.hello.slice();
    });
  }

  /** @throws HandshakeRefused */
  readHello(received: Uint8Array, now: number): Promise<void> {
    return this.#turn.take('readHello', 'readConfirmation', async () => {
      const { cryptography, limits } = this.#input;
      const sent = this.#due(this.#sent);
      const answer = parseResponderHello(received);
      this.#check(answer, now);
      const statement = statementBytes(HELLO_CONTEXT.responder, [await cryptography.sha256(sent.hello), answer.signed]);
      if (!cryptography.verify(statement, answer.responder, answer.signature))
        throw new HandshakeRefused('bad-signature');
      const x25519Secret = agree(sent, answer);
      const kemSecret = sent.mlKem.decapsulate(answer.ciphertext);
      this.#forgetEphemeral();
      const whole = concatBytes(answer.signed, answer.signature);
      const keys = await deriveChannelKeys(cryptography, sent.hello, whole, kemSecret, x25519Secret);
      this.#session = await Session.start(cryptography, keys, limits, 'initiator');
    });
  }

  /** The responder's first record. @throws HandshakeRefused 'not-confirmed' */
  readConfirmation(record: Uint8Array): Promise<void> {
    return this.#turn.take('readConfirmation', 'writeConfirmation', () =>
      this.#due(this.#session).readConfirmation(record),
    );
  }

  writeConfirmation(): Promise<Uint8Array> {
    return this.#turn.take('writeConfirmation', 'split', () => this.#due(this.#session).writeConfirmation());
  }

  /** Hands over the two directions. */
  split(): Promise<Split> {
    return this.#turn.take('split', undefined, () => {
      const split = this.#due(this.#session).split();
      this.#session = undefined;
      return split;
    });
  }

  /** For a handshake that comes to nothing: forgets all its secrets. */
  end(): void {
    this.#forgetEphemeral();
    this.#session?.end();
  }

  #forgetEphemeral(): void {
    const { random } = this.#input;
    this.#sent?.x25519.forget();
    this.#sent?.mlKem.forget();
    wipe(random.mlkem768);
    wipe(random.x25519);
  }

  #check(answer: ResponderFields, now: number): void {
    const { identity, peer, purpose } = this.#input;
    if (!equalBytes(answer.responder, peer)) throw new HandshakeRefused('wrong-peer');
    if (!equalBytes(answer.initiator, identity.public.ed25519)) throw new HandshakeRefused('wrong-recipient');
    if (answer.purpose !== purpose) throw new HandshakeRefused('malformed');
    if (!isFresh(answer.time, now)) throw new HandshakeRefused('stale');
  }

  #due<T>(state: T | undefined): T {
    if (state === undefined) throw new TypeError('not at this step');
    return state;
  }
}

function agree({ x25519 }: Sent, answer: ResponderFields): Uint8Array {
  try {
    return x25519.agree(answer.x25519);
  } catch (cause) {
    throw new HandshakeRefused('weak-key', { cause });
  }
}
