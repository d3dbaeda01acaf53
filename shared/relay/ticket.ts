/**
 * What lets a relay admit people and VMs without asking anyone: the backend's signed word (docs/protocol.md, the relay).
 *
 * Ticket, for one person to reach one VM through one relay, once:
 *
 *    0   5  "VMCT" and version 1
 *    5  17  user id
 *   22  15  VM id
 *   37   8  when it ends, milliseconds since 1970
 *   45  16  nonce
 *   61  32  pin of the relay
 *   93  64  statement `relay-ticket` over bytes 0 to 92
 *
 * Pass, for one VM to park at any relay of the backend, with a signature by the VM's own key:
 *
 *    0   5  "VMCP" and version 1
 *    5  17  user id of the VM's owner
 *   22  15  VM id
 *   37   8  when it ends
 *   45  32  the VM's Ed25519 key
 *   77  64  statement `relay-pass` over bytes 0 to 76
 *
 * Question, by which the backend learns from one relay which VMs are parked there:
 *
 *    0   5  "VMCQ" and version 1
 *    5   8  when it ends
 *   13  32  pin of the relay
 *   45  64  statement `relay-question` over bytes 0 to 44
 */
import * as z from 'zod';
import { concatBytes, equalBytes, utf8 } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import { statementBytes } from '../identity/framing.ts';
import { type Ed25519PublicKey, ed25519PublicKey } from '../identity/keys.ts';
import { sign } from '../identity/native.ts';
import { verifyStatement } from '../identity/statement.ts';
import { userIdSchema, vmIdSchema } from '../names.ts';

export const TICKET_BYTES = 157;
export const PASS_BYTES = 141;
export const QUESTION_BYTES = 109;
const SIGNATURE_BYTES = 64;

export interface Ticket {
  userId: string;
  vmId: string;
  /** Milliseconds since 1970. */
  expiresAt: number;
  /** 16 random bytes. */
  nonce: Uint8Array;
  /** Lower-case hex, of the one relay that it is for. */
  relayPin: string;
}

export interface Pass {
  ownerId: string;
  vmId: string;
  /** Milliseconds since 1970. */
  expiresAt: number;
  vmKey: Ed25519PublicKey;
}

/** @param seed of the backend's ticket key. */
export function makeTicket(seed: Uint8Array, ticket: Ticket): Uint8Array {
  const { userId, vmId, expiresAt, nonce, relayPin } = ticket;
  const parts = [utf8(userId), utf8(vmId), time(expiresAt), nonce, Uint8Array.fromHex(relayPin)];
  return signed(seed, 'relay-ticket', TICKET_BYTES, concatBytes(utf8('VMCT\x01'), ...parts));
}

/** @param seed of the backend's ticket key. */
export function makePass(seed: Uint8Array, { ownerId, vmId, expiresAt, vmKey }: Pass): Uint8Array {
  const parts = [utf8(ownerId), utf8(vmId), time(expiresAt), vmKey];
  return signed(seed, 'relay-pass', PASS_BYTES, concatBytes(utf8('VMCP\x01'), ...parts));
}

/**
 * Whether it is still good is for the caller to say.
 * @returns undefined for anything that the key has not signed. @throws VmcError 'bad-data' for what it should not have signed.
 */
export function readTicket(key: Ed25519PublicKey, bytes: Uint8Array): Ticket | undefined {
  const body = verified(key, 'relay-ticket', TICKET_BYTES, 'VMCT\x01', bytes);
  if (body === undefined) return undefined;
  return {
    ...holder(body),
    nonce: body.slice(45, 61),
    relayPin: body.slice(61, 93).toHex(),
  };
}

/** As `readTicket`. */
export function readPass(key: Ed25519PublicKey, bytes: Uint8Array): Pass | undefined {
  const body = verified(key, 'relay-pass', PASS_BYTES, 'VMCP\x01', bytes);
  if (body === undefined) return undefined;
  const { userId, vmId, expiresAt } = holder(body);
  return { ownerId: userId, vmId, expiresAt, vmKey: ed25519PublicKey(body.slice(45, 77)) };
}

export interface Question {
  /** Milliseconds since 1970. */
  expiresAt: number;
  relayPin: string;
}

/** @param seed of the backend's ticket key. */
export function makeQuestion(seed: Uint8Array, { expiresAt, relayPin }: Question): Uint8Array {
  const body = concatBytes(utf8('VMCQ\x01'), time(expiresAt), Uint8Array.fromHex(relayPin));
  return signed(seed, 'relay-question', QUESTION_BYTES, body);
}

/** As `readTicket`. */
export function readQuestion(key: Ed25519PublicKey, bytes: Uint8Array): Question | undefined {
  const body = verified(key, 'relay-question', QUESTION_BYTES, 'VMCQ\x01', bytes);
  return body && { expiresAt: timeAt(body, 5), relayPin: body.slice(13, 45).toHex() };
}

function signed(seed: Uint8Array, context: string, size: number, body: Uint8Array): Uint8Array {
  if (body.length !== size - SIGNATURE_BYTES) throw new RangeError('a field of the ticket has a wrong length');
  return concatBytes(body, sign(statementBytes(context, [body]), seed));
}

function verified(
  key: Ed25519PublicKey,
  context: string,
  size: number,
  magic: string,
  bytes: Uint8Array,
): Uint8Array | undefined {
  if (bytes.length !== size || !equalBytes(bytes.subarray(0, 5), utf8(magic))) return undefined;
  const body = bytes.subarray(0, size - SIGNATURE_BYTES);
  return verifyStatement(key, context, [body], bytes.subarray(size - SIGNATURE_BYTES)) ? body : undefined;
}

function holder(body: Uint8Array): { userId: string; vmId: string; expiresAt: number } {
  const parsed = holderSchema.safeParse({ userId: text(body.subarray(5, 22)), vmId: text(body.subarray(22, 37)) });
  if (!parsed.success) throw malformed();
  return { ...parsed.data, expiresAt: timeAt(body, 37) };
}

const holderSchema = z.object({ userId: userIdSchema, vmId: vmIdSchema });

const malformed = () => new VmcError('bad-data', 'The backend has signed something that is not well formed.');

function timeAt(body: Uint8Array, at: number): number {
  const time = Number(new DataView(body.buffer, body.byteOffset).getBigUint64(at));
  if (!Number.isSafeInteger(time)) throw malformed();
  return time;
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function time(ms: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(ms));
  return bytes;
}
