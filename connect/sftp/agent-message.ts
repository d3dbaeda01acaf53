/**
 * What an SSH agent is asked (draft-ietf-sshm-ssh-agent), and the one thing that an identity signs for SSH: a user's request to
 * sign in by public key (RFC 4252, 7). Pure.
 */
import { equalBytes, utf8 } from '../../shared/bytes.ts';
import { framed } from '../../shared/identity/framing.ts';

const FAILURE = 5;
const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;
const USERAUTH_REQUEST = 50;
/** A session identifier is a hash of the key exchange: SHA-256, SHA-384 or SHA-512. */
const SESSION_ID_BYTES = [32, 48, 64];

export interface AgentKey {
  /** The public key as SSH writes it. */
  blob: Uint8Array;
  /** The account that it signs in to, and no other. */
  user: string;
}

export type AgentRequest = { kind: 'identities' } | { kind: 'sign'; data: Uint8Array } | { kind: 'refused' };

/** Reads SSH strings and numbers; `undefined` once something did not fit. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  byte(): number | undefined {
    return this.#bytes[this.#at++];
  }

  number(): number | undefined {
    if (this.#at + 4 > this.#bytes.length) return undefined;
    const value = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, 4).getUint32(0);
    this.#at += 4;
    return value;
  }

  string(): Uint8Array | undefined {
    const length = this.number();
    if (length === undefined || this.#at + length > this.#bytes.length) return undefined;
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }
}

const is = (bytes: Uint8Array | undefined, wanted: Uint8Array): boolean =>
  bytes !== undefined && equalBytes(bytes, wanted);

/** @param message without its length. A request to sign is `refused` unless it is for this key and this purpose. */
export function readAgentRequest(message: Uint8Array, key: AgentKey): AgentRequest {
  const reader = new Reader(message);
  const type = reader.byte();
  if (type === REQUEST_IDENTITIES && reader.ended) return { kind: 'identities' };
  if (type !== SIGN_REQUEST) return { kind: 'refused' };
  const blob = reader.string();
  const data = reader.string();
  const flags = reader.number();
  const fits = is(blob, key.blob) && data !== undefined && flags === 0 && reader.ended;
  return fits && isUserAuth(data, key) ? { kind: 'sign', data } : { kind: 'refused' };
}

/**
 * RFC 4252, 7: session identifier, 50, user, "ssh-connection", "publickey", TRUE, "ssh-ed25519", the key. A signature over
 * anything else might be worth something elsewhere.
 */
export function isUserAuth(data: Uint8Array, { blob, user }: AgentKey): boolean {
  const reader = new Reader(data);
  const sessionId = reader.string();
  return (
    sessionId !== undefined &&
    SESSION_ID_BYTES.includes(sessionId.length) &&
    reader.byte() === USERAUTH_REQUEST &&
    is(reader.string(), utf8(user)) &&
    is(reader.string(), utf8('ssh-connection')) &&
    is(reader.string(), utf8('publickey')) &&
    reader.byte() === 1 &&
    is(reader.string(), utf8('ssh-ed25519')) &&
    is(reader.string(), blob) &&
    reader.ended
  );
}

function answer(type: number, rest: Uint8Array = new Uint8Array(0)): Uint8Array {
  const body = new Uint8Array(1 + rest.length);
  body[0] = type;
  body.set(rest, 1);
  return framed(body);
}

export const failureAnswer = (): Uint8Array => answer(FAILURE);

export function identitiesAnswer({ blob, user }: AgentKey): Uint8Array {
  const one = framed(blob, utf8(user));
  const rest = new Uint8Array(4 + one.length);
  rest[3] = 1;
  rest.set(one, 4);
  return answer(IDENTITIES_ANSWER, rest);
}

export const signatureAnswer = (signature: Uint8Array): Uint8Array =>
  answer(SIGN_RESPONSE, framed(framed(utf8('ssh-ed25519'), signature)));
