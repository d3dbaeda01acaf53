/**
 * Every refusal that a person can meet, in one place: "why was I refused?" is answered here.
 * A VmcError has a stable code (for programs), a message (what is wrong) and a hint (what to do).
 * It crosses JSON-RPC and REST as `{code, message, hint}` and nothing else: no stack, no cause.
 */

/** Code → exit status of a CLI that ends with it (sysexits.h where it has a fitting one). */
export const ERROR_EXIT = {
  'bad-request': 64, // EX_USAGE: the request itself is malformed
  'bad-config': 78, // EX_CONFIG
  'not-found': 66, // EX_NOINPUT
  'already-exists': 73, // EX_CANTCREAT
  busy: 75, // EX_TEMPFAIL: in use now; try again later
  'wrong-state': 69, // EX_UNAVAILABLE: not possible in the present state
  unauthenticated: 77, // EX_NOPERM: who you are could not be proven
  forbidden: 77,
  'no-space': 74, // EX_IOERR
  'audit-unavailable': 74, // what cannot be recorded is not done
  'not-blank': 65, // EX_DATAERR: the device holds data
  'wrong-key': 65,
  'bad-data': 65, // stored or received data is damaged
  'owner-mismatch': 76, // EX_PROTOCOL: the owner's key is learned once
  'identity-changed': 76, // a pinned identity is not the one presented
  'port-in-use': 71, // EX_OSERR
  'command-failed': 70, // an external command failed; see stderr in the message
  'libvirt-down': 69,
  unreachable: 68, // EX_NOHOST
  timeout: 75,
  cancelled: 130,
  'channel-closed': 76, // the peer closed the channel, or it was cut
  'outcome-unknown': 76, // not 75, on which scripts try again: a request that changes something may have been carried out or not: look before you repeat it
  limit: 75, // a bound was reached
  internal: 70, // EX_SOFTWARE: a defect
} as const;

export type ErrorCode = keyof typeof ERROR_EXIT;

export interface ErrorFields {
  code: ErrorCode;
  message: string;
  hint?: string | undefined;
}

export class VmcError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, hint?: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'VmcError';
    this.code = code;
    this.hint = hint;
  }

  toJSON(): ErrorFields {
    return { code: this.code, message: this.message, ...(this.hint === undefined ? {} : { hint: this.hint }) };
  }
}

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_EXIT, code);
}

/** What a peer or a CLI may see of any thrown value. An unknown error shows nothing of itself. */
export function publicError(error: unknown): ErrorFields {
  if (error instanceof VmcError) return error.toJSON();
  return { code: 'internal', message: 'Something went wrong inside.', hint: 'The log of the service has the details.' };
}

/** The reverse of `publicError`, for what came from a peer: unknown shapes become `internal`. */
export function errorFromFields(fields: unknown): VmcError {
  if (typeof fields === 'object' && fields !== null) {
    const { code, message, hint } = fields as Record<string, unknown>;
    if (isErrorCode(code) && typeof message === 'string')
      return new VmcError(code, message, typeof hint === 'string' ? hint : undefined);
  }
  return new VmcError('internal', 'The other side reported an error that this version does not know.');
}

/** One line for a log: the message of an Error, or a plain word for anything else. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error';
}
