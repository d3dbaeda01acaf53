/**
 * How a drive's key lies at the backend: wrapped to the public keys of one person, and signed. Without the signature the
 * backend could plant a key that it made itself (public keys are enough to wrap), and would hold the key of whatever is
 * formatted with it.
 *
 *    0   1  version: 1 the owner's first key · 2 for somebody it is shared with · 3 the owner's next key
 *    1  64  Ed25519 signature of the owner: a statement over the drive's id (UTF-8), then
 *             1 "drive-key"        the wrapped key
 *             2 "drive-key-share"  the Ed25519 key of who it is for, the wrapped key
 *             3 "drive-key-next"   bytes 65 to 96, the wrapped key
 *   65  32  3 only: SHA-256 of the envelope that it follows, so that no older key can be put back as the next one
 *   65 or 97  n  wrapped key (shared/identity/wrap.ts, context "drive " or, for 2, "shared drive ", and the id)
 */
import { concatBytes, equalBytes, utf8, wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Identity, PublicIdentity } from '../../shared/identity/identity.ts';
import { type Ed25519PublicKey, SIZE } from '../../shared/identity/keys.ts';
import { sha256 } from '../../shared/identity/native.ts';
import { signStatement, verifyStatement } from '../../shared/identity/statement.ts';
import { unwrap, wrapFor } from '../../shared/identity/wrap.ts';

const OWN = 1;
const SHARED = 2;
const NEXT = 3;
const BODY_AT = 1 + SIZE.signature;
const NEXT_WRAPPED_AT = BODY_AT + 32;
const KEY_BYTES = 32;

const context = (driveId: string) => `drive ${driveId}`;
const sharedContext = (driveId: string) => `shared drive ${driveId}`;

export function sealDriveKey(identity: Identity, driveId: string, key: Uint8Array): Uint8Array {
  const wrapped = wrapFor(identity.public, key, context(driveId));
  return concatBytes(Uint8Array.of(OWN), signStatement(identity, 'drive-key', [utf8(driveId), wrapped]), wrapped);
}

/** @param owner who signs. @throws VmcError 'bad-data' for a recipient whose keys do not hold. */
export function sealSharedDriveKey(
  owner: Identity,
  recipient: PublicIdentity,
  driveId: string,
  key: Uint8Array,
): Uint8Array {
  const wrapped = wrapFor(recipient, key, sharedContext(driveId));
  const signature = signStatement(owner, 'drive-key-share', [utf8(driveId), recipient.ed25519, wrapped]);
  return concatBytes(Uint8Array.of(SHARED), signature, wrapped);
}

/** @param present the owner's envelope that this one will take the place of. */
export function sealNextDriveKey(
  identity: Identity,
  driveId: string,
  present: Uint8Array,
  key: Uint8Array,
): Uint8Array {
  const previous = sha256(present);
  const wrapped = wrapFor(identity.public, key, context(driveId));
  const signature = signStatement(identity, 'drive-key-next', [utf8(driveId), previous, wrapped]);
  return concatBytes(Uint8Array.of(NEXT), signature, previous, wrapped);
}

/**
 * The owner's present key, whether it was the first one or a next one once. The caller wipes it.
 * @throws VmcError 'bad-data' for one that this person has not stored, 'wrong-key'.
 */
export function openDriveKey(identity: Identity, driveId: string, envelope: Uint8Array): Uint8Array {
  if (envelope[0] === NEXT) return openNext(identity, driveId, envelope);
  const wrapped = envelope.subarray(BODY_AT);
  if (envelope[0] !== OWN || !signed(identity.public.ed25519, 'drive-key', envelope, [utf8(driveId), wrapped]))
    throw planted(driveId);
  return keyIn(identity, driveId, wrapped, context(driveId));
}

/** The owner's next key. @throws VmcError 'bad-data' also for one that was made to follow another than `present`. */
export function openNextDriveKey(
  identity: Identity,
  driveId: string,
  present: Uint8Array,
  envelope: Uint8Array,
): Uint8Array {
  const previous = envelope.subarray(BODY_AT, NEXT_WRAPPED_AT);
  if (envelope[0] !== NEXT || !equalBytes(previous, sha256(present))) throw planted(driveId);
  return openNext(identity, driveId, envelope);
}

/** @param owner the key of the drive's owner, as this device knows it. @throws VmcError 'bad-data', 'wrong-key'. */
export function openSharedDriveKey(
  identity: Identity,
  owner: Ed25519PublicKey,
  driveId: string,
  envelope: Uint8Array,
): Uint8Array {
  const wrapped = envelope.subarray(BODY_AT);
  const parts = [utf8(driveId), identity.public.ed25519, wrapped];
  if (envelope[0] !== SHARED || !signed(owner, 'drive-key-share', envelope, parts))
    throw new VmcError(
      'bad-data',
      `The key that the backend holds for you and the drive ${driveId} was not signed by the drive's owner. It is not used.`,
      'Somebody may have planted it. Ask the owner to share the drive once more, and tell an administrator.',
    );
  return keyIn(identity, driveId, wrapped, sharedContext(driveId));
}

function openNext(identity: Identity, driveId: string, envelope: Uint8Array): Uint8Array {
  const wrapped = envelope.subarray(NEXT_WRAPPED_AT);
  const parts = [utf8(driveId), envelope.subarray(BODY_AT, NEXT_WRAPPED_AT), wrapped];
  if (!signed(identity.public.ed25519, 'drive-key-next', envelope, parts)) throw planted(driveId);
  return keyIn(identity, driveId, wrapped, context(driveId));
}

const signed = (by: Ed25519PublicKey, statement: string, envelope: Uint8Array, parts: Uint8Array[]): boolean =>
  verifyStatement(by, statement, parts, envelope.subarray(1, BODY_AT));

const planted = (driveId: string) =>
  new VmcError(
    'bad-data',
    `The key that the backend holds for the drive ${driveId} was not stored by you. It is not used.`,
    'Somebody may have planted it. Do not format the drive; tell an administrator, and make another drive.',
  );

function keyIn(identity: Identity, driveId: string, wrapped: Uint8Array, wrapContext: string): Uint8Array {
  const key = unwrap(identity, wrapped, wrapContext);
  if (key.length === KEY_BYTES) return key;
  wipe(key);
  throw new VmcError('bad-data', `The key of the drive ${driveId} has a wrong length.`);
}
