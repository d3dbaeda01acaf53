/** Why a handshake did not come about. The reason is for this side's audit log or user; the peer sees a socket close. */
import { type ErrorCode, VmcError } from '../errors.ts';
import type { Ed25519PublicKey } from '../identity/keys.ts';
import type { Purpose } from './wire.ts';

export type RefusalReason =
  | 'malformed'
  | 'unsupported'
  | 'wrong-recipient'
  | 'wrong-peer'
  | 'reflected'
  | 'stale'
  | 'replayed'
  | 'bad-signature'
  | 'unknown-person'
  | 'weak-key'
  | 'not-confirmed'
  | 'closed'
  | 'timeout'
  | 'cancelled'
  | 'too-many'
  | 'failed';

const WORDS: Record<RefusalReason, { code: ErrorCode; message: string; hint?: string }> = {
  malformed: { code: 'unauthenticated', message: 'The other side sent something that is no hello.' },
  unsupported: {
    code: 'unauthenticated',
    message: 'The other side speaks a version, suite or purpose not known here.',
    hint: 'Update the older side.',
  },
  'wrong-recipient': { code: 'unauthenticated', message: 'The hello is meant for another identity.' },
  'wrong-peer': {
    code: 'identity-changed',
    message: 'The other side presents another identity than the pinned one. Somebody may be in between.',
    hint: 'Compare fingerprints with the one on the console of the VM before you trust a new one.',
  },
  reflected: { code: 'unauthenticated', message: 'Our own identity came back as the other side.' },
  stale: {
    code: 'unauthenticated',
    message: 'The hello is too old or from the future.',
    hint: 'Check the clocks of both sides: they may differ by 5 minutes at most.',
  },
  replayed: { code: 'unauthenticated', message: 'This hello was here before.' },
  'bad-signature': { code: 'unauthenticated', message: 'The signature of the hello does not hold.' },
  'unknown-person': { code: 'forbidden', message: 'This identity has no right to this channel.' },
  'weak-key': { code: 'unauthenticated', message: 'The other side offered a key that protects nothing.' },
  'not-confirmed': { code: 'unauthenticated', message: 'The other side could not confirm the keys.' },
  closed: {
    code: 'channel-closed',
    message: 'The other side closed the connection before the channel was open.',
    hint: 'It does not say why. Likely: no right there, or clocks more than 5 minutes apart.',
  },
  timeout: { code: 'timeout', message: 'The handshake took too long.' },
  cancelled: { code: 'cancelled', message: 'The handshake was cancelled.' },
  'too-many': { code: 'limit', message: 'There are too many handshakes at once.', hint: 'Try again in a minute.' },
  failed: { code: 'internal', message: 'The handshake could not be carried through here.' },
};

/** Who a signature has proven the peer to be, and what for. */
export interface ProvenPeer {
  readonly peer: Ed25519PublicKey;
  readonly purpose: Purpose;
}

export class HandshakeRefused extends VmcError {
  readonly reason: RefusalReason;
  /** Set only once the peer's signature held: an audit log never names somebody on a stranger's word. */
  proven: ProvenPeer | undefined;

  constructor(reason: RefusalReason, options: { proven?: ProvenPeer; cause?: unknown } = {}) {
    const { code, message, hint } = WORDS[reason];
    super(code, message, hint, { cause: options.cause });
    this.name = 'HandshakeRefused';
    this.reason = reason;
    this.proven = options.proven;
  }
}

/** A defect of the caller: a step of a handshake was taken twice, out of turn, or after a failure. */
export class HandshakeFinished extends Error {
  constructor(step: string) {
    super(`the handshake step "${step}" is over, or not due`);
    this.name = 'HandshakeFinished';
  }
}
