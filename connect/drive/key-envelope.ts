/**
 * How a drive's key lies at the backend: wrapped to the person's own public keys, and signed by the person. Without the
 * signature the backend could plant a key that it made itself (public keys are enough to wrap), and would hold the key
 * of whatever is formatted with it.
 *
 *    0   1  version = 1
 *    1  64  Ed25519 signature: statement "drive-key" over drive id (UTF-8), wrapped key
 *   65   n  wrapped key (shared/identity/wrap.ts, context "drive " + id)
 */
import { concatBytes, utf8, wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import { SIZE } from '../../shared/identity/keys.ts';
import { signStatement, verifyStatement } from '../../shared/identity/statement.ts';
import { unwrap, wrapFor } from '../../shared/identity/wrap.ts';

const VERSION = 1;
const WRAPPED_AT = 1 + SIZE.signature;
const KEY_BYTES = 32;
const STATEMENT = 'drive-key';

const wrapContext = (driveId: string) => `drive ${driveId}`;

export function sealDriveKey(identity: Identity, driveId: string, key: Uint8Array): Uint8Array {
  const wrapped = wrapFor(identity.public, key, wrapContext(driveId));
  return concatBytes(Uint8Array.of(VERSION), signStatement(identity, STATEMENT, [utf8(driveId), wrapped]), wrapped);
}

/** The caller wipes the key. @throws VmcError 'bad-data' for one that this person has not stored, 'wrong-key'. */
export function openDriveKey(identity: Identity, driveId: string, envelope: Uint8Array): Uint8Array {
  const wrapped = envelope.subarray(WRAPPED_AT);
  const signature = envelope.subarray(1, WRAPPED_AT);
  if (
    envelope[0] !== VERSION ||
    !verifyStatement(identity.public.ed25519, STATEMENT, [utf8(driveId), wrapped], signature)
  )
    throw new VmcError(
      'bad-data',
      `The key that the backend holds for the drive ${driveId} was not stored by you. It is not used.`,
      'Somebody may have planted it. Do not format the drive; tell an administrator, and make another drive.',
    );
  const key = unwrap(identity, wrapped, wrapContext(driveId));
  if (key.length === KEY_BYTES) return key;
  wipe(key);
  throw new VmcError('bad-data', `The key of the drive ${driveId} has a wrong length.`);
}
