/**
 * The backup of a drive's LUKS header, sealed by the drive's owner for the owner: the backend keeps it, or a file. A header
 * opens nothing without a key, but together with a key that was taken away since it would.
 *
 *      0     1  version = 1
 *      1    64  Ed25519 signature: statement "drive-header" over drive id (UTF-8), bytes 65 to 1253, SHA-256 of what follows them
 *     65     8  when it was made: milliseconds since 1970, big-endian
 *     73  1181  wrapped secret (shared/identity/wrap.ts, context "drive header " + id): AES-256 key (32), IV (12)
 *   1254     n  the header as vmc gave it (gzip), AES-256-GCM without additional data
 * 1254+n    16  tag
 */
import { randomBytes } from 'node:crypto';
import { HEADER_MAX_BYTES } from '../../shared/api/drive-keys.ts';
import { concatBytes, plainBytes, utf8, wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { open, seal } from '../../shared/identity/aead.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import { SIZE, TAG_BYTES } from '../../shared/identity/keys.ts';
import { sha256 } from '../../shared/identity/native.ts';
import { signStatement, verifyStatement } from '../../shared/identity/statement.ts';
import { unwrap, WRAP_OVERHEAD, wrapFor } from '../../shared/identity/wrap.ts';

const VERSION = 1;
const STATEMENT = 'drive-header';
const KEY_BYTES = 32;
const IV_BYTES = 12;
const HEAD_AT = 1 + SIZE.signature;
const WRAPPED_AT = HEAD_AT + 8;
const BODY_AT = WRAPPED_AT + WRAP_OVERHEAD + KEY_BYTES + IV_BYTES;
const NO_AAD = new Uint8Array(0);

/** Of a sealed header. */
export const SEALED_HEADER_MAX = BODY_AT + HEADER_MAX_BYTES + TAG_BYTES;

const wrapContext = (driveId: string) => `drive header ${driveId}`;

export interface HeaderBackup {
  /** Milliseconds since 1970, by the clock of the device that made it. */
  madeAt: number;
  /** As vmc gave it. */
  header: Uint8Array;
}

export function sealHeader(identity: Identity, driveId: string, { madeAt, header }: HeaderBackup): Uint8Array {
  if (header.length === 0 || header.length > HEADER_MAX_BYTES)
    throw new VmcError('bad-data', `A header of ${header.length} bytes is none.`);
  const secret = plainBytes(randomBytes(KEY_BYTES + IV_BYTES));
  const time = new Uint8Array(8);
  new DataView(time.buffer).setBigUint64(0, BigInt(madeAt));
  const head = concatBytes(time, wrapFor(identity.public, secret, wrapContext(driveId)));
  const body = seal(secret.subarray(0, KEY_BYTES), secret.subarray(KEY_BYTES), NO_AAD, header);
  wipe(secret);
  const signature = signStatement(identity, STATEMENT, [utf8(driveId), head, sha256(body)]);
  return concatBytes(Uint8Array.of(VERSION), signature, head, body);
}

/** @throws VmcError 'bad-data' for one that is damaged, of another drive, or that this person has not made. */
export function openHeader(identity: Identity, driveId: string, sealed: Uint8Array): HeaderBackup {
  const head = sealed.subarray(HEAD_AT, BODY_AT);
  const body = sealed.subarray(BODY_AT);
  const parts = [utf8(driveId), head, sha256(body)];
  if (
    sealed.length <= BODY_AT + TAG_BYTES ||
    sealed.length > SEALED_HEADER_MAX ||
    sealed[0] !== VERSION ||
    !verifyStatement(identity.public.ed25519, STATEMENT, parts, sealed.subarray(1, HEAD_AT))
  )
    throw damaged(driveId);
  const secret = unwrap(identity, sealed.subarray(WRAPPED_AT, BODY_AT), wrapContext(driveId));
  const header = open(secret.subarray(0, KEY_BYTES), secret.subarray(KEY_BYTES), NO_AAD, body);
  wipe(secret);
  if (header === undefined) throw damaged(driveId);
  return { madeAt: Number(new DataView(head.buffer, head.byteOffset).getBigUint64(0)), header };
}

const damaged = (driveId: string) =>
  new VmcError(
    'bad-data',
    `This is no header backup of the drive ${driveId} that you have made, or it is damaged. It is not used.`,
    'Try the other one: connect drive header list shows what there is.',
  );
