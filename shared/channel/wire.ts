/** The bytes of the two hellos. Fixed lengths, big-endian numbers, no options: one way to write each. */
import { concatBytes, equalBytes, utf8 } from '../bytes.ts';
import {
  type Ed25519PublicKey,
  ed25519PublicKey,
  type MlKemPublicKey,
  mlKemPublicKey,
  SIZE,
  type X25519PublicKey,
  x25519PublicKey,
} from '../identity/keys.ts';
import { HandshakeRefused } from './refusal.ts';

export type Purpose = 'control' | 'terminal' | 'files';
const PURPOSE_CODE: Record<Purpose, number> = { control: 1, terminal: 2, files: 3 };
const PURPOSES = Object.keys(PURPOSE_CODE) as Purpose[];

// Head of both:
//    0   4  "VMC1"
//    4   1  type: 1 initiator's hello, 2 responder's hello
//    5   1  purpose: 1 control, 2 terminal, 3 files
//    6   2  version = 1
//    8   2  suite = 1: X25519 + ML-KEM-768, HKDF-SHA-256, AES-256-GCM
//   10  32  initiator's Ed25519 key
//   42  32  responder's Ed25519 key
//   74  32  sender's ephemeral X25519 key
const MAGIC = utf8('VMC1');
const VERSION = 1;
const SUITE = 1;
const AT = { type: 4, purpose: 5, version: 6, suite: 8, initiator: 10, responder: 42, x25519: 74, kem: 106 } as const;
// Initiator:
//  106 1184  ephemeral ML-KEM-768 encapsulation key
// Responder:
//  106 1088  ML-KEM-768 ciphertext
// Tail of both (offsets of the initiator's, of the responder's):
// 1290, 1194   8  time, milliseconds since 1970
// 1298, 1202  32  nonce, random
// 1330, 1234  64  Ed25519 signature
export const NONCE_BYTES = 32;
const TAIL = 8 + NONCE_BYTES;
export const INITIATOR_HELLO_BYTES = AT.kem + SIZE.mlkem768 + TAIL + SIZE.signature; // 1394
export const RESPONDER_HELLO_BYTES = AT.kem + SIZE.mlkem768Ciphertext + TAIL + SIZE.signature; // 1298

const TYPE = { initiator: 1, responder: 2 } as const;
type Role = keyof typeof TYPE;
const LENGTH: Record<Role, number> = { initiator: INITIATOR_HELLO_BYTES, responder: RESPONDER_HELLO_BYTES };

interface CommonFields {
  purpose: Purpose;
  initiator: Ed25519PublicKey;
  responder: Ed25519PublicKey;
  x25519: X25519PublicKey;
  /** Milliseconds since 1970. */
  time: number;
  nonce: Uint8Array;
}
export interface InitiatorFields extends CommonFields {
  mlkem768: MlKemPublicKey;
}
export interface ResponderFields extends CommonFields {
  ciphertext: Uint8Array;
}

/** What a parser adds: the signature, and the bytes that it has to cover. */
export interface Signed {
  signed: Uint8Array;
  signature: Uint8Array;
}

function encode(role: Role, fields: CommonFields, kem: Uint8Array): Uint8Array {
  const head = new Uint8Array(AT.initiator);
  head.set(MAGIC);
  head[AT.type] = TYPE[role];
  head[AT.purpose] = PURPOSE_CODE[fields.purpose];
  const view = new DataView(head.buffer);
  view.setUint16(AT.version, VERSION);
  view.setUint16(AT.suite, SUITE);
  const time = new Uint8Array(8);
  new DataView(time.buffer).setBigUint64(0, BigInt(fields.time));
  return concatBytes(head, fields.initiator, fields.responder, fields.x25519, kem, time, fields.nonce);
}

/** Everything but the signature. */
export const encodeInitiatorHello = (fields: InitiatorFields): Uint8Array =>
  encode('initiator', fields, fields.mlkem768);
/** Everything but the signature. */
export const encodeResponderHello = (fields: ResponderFields): Uint8Array =>
  encode('responder', fields, fields.ciphertext);

/** Splits a hello of exactly the right length; copies, so that nothing keeps the received buffer alive. */
function parse(role: Role, received: Uint8Array): CommonFields & Signed & { kem: Uint8Array } {
  if (
    received.length !== LENGTH[role] ||
    !equalBytes(received.subarray(0, 4), MAGIC) ||
    received[AT.type] !== TYPE[role]
  )
    throw new HandshakeRefused('malformed');
  const bytes = received.slice();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const purpose = PURPOSES.find((name) => PURPOSE_CODE[name] === bytes[AT.purpose]);
  if (view.getUint16(AT.version) !== VERSION || view.getUint16(AT.suite) !== SUITE || purpose === undefined)
    throw new HandshakeRefused('unsupported');
  const tail = bytes.length - SIZE.signature - TAIL;
  try {
    return {
      purpose,
      initiator: ed25519PublicKey(bytes.subarray(AT.initiator, AT.responder)),
      responder: ed25519PublicKey(bytes.subarray(AT.responder, AT.x25519)),
      x25519: x25519PublicKey(bytes.subarray(AT.x25519, AT.kem)),
      kem: bytes.subarray(AT.kem, tail),
      // Beyond 2^53 it loses precision, and is stale anyway.
      time: Number(view.getBigUint64(tail)),
      nonce: bytes.subarray(tail + 8, tail + TAIL),
      signed: bytes.subarray(0, tail + TAIL),
      signature: bytes.subarray(tail + TAIL),
    };
  } catch (cause) {
    throw new HandshakeRefused('malformed', { cause });
  }
}

/** Form only; the signature is still to be checked. @throws HandshakeRefused 'malformed' or 'unsupported'. */
export function parseInitiatorHello(received: Uint8Array): InitiatorFields & Signed {
  const { kem, ...fields } = parse('initiator', received);
  return { ...fields, mlkem768: mlKemPublicKey(kem) };
}

/** Form only; the signature is still to be checked. @throws HandshakeRefused 'malformed' or 'unsupported'. */
export function parseResponderHello(received: Uint8Array): ResponderFields & Signed {
  const { kem, ...fields } = parse('responder', received);
  return { ...fields, ciphertext: kem };
}
