/** The keys of a drive: made on this device, stored wrapped before they are used, lent to what needs them, then wiped. */
import { randomBytes } from 'node:crypto';
import { wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Ed25519PublicKey } from '../../shared/identity/keys.ts';
import { toBase64 } from '../../shared/names.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import { note } from '../io.ts';
import { ask, type Session } from '../session.ts';
import { findAccount, type TrustOptions } from '../vm/person.ts';
import { driveName, getDrive } from './find.ts';
import { openDriveKey, openNextDriveKey, openSharedDriveKey, sealDriveKey } from './key-envelope.ts';

export const newDriveKey = (): Uint8Array => new Uint8Array(randomBytes(32));

/**
 * Lends the drive's key for something that the VM does with it. While a change of key is open the drive opens with the
 * present or with the next one, and a restored drive with one that the old drive had: when the VM finds that the first does
 * not fit, `use` is called again with the second.
 * @param use fails with 'wrong-key' when the key does not open the drive, and has changed nothing then.
 * @param trust for a drive that somebody shared, whose key this device may not know yet.
 * @throws VmcError 'wrong-state' when no key is stored: the drive was never formatted.
 */
export async function withDriveKey<T>(
  session: Session,
  drive: Drive,
  use: (key: Uint8Array) => Promise<T>,
  trust: TrustOptions = {},
): Promise<T> {
  const { identity } = session;
  const { driveId, wrappedKey, nextWrappedKey, restored } = drive;
  if (drive.access !== 'owner') {
    const owner = await ownerKey(session, drive, trust);
    const envelopes = [wrappedKey, nextWrappedKey].filter((it) => it !== undefined);
    return firstThatFits(drive, envelopes, (it) => openSharedDriveKey(identity, owner, driveId, it), use);
  }
  if (wrappedKey !== undefined) {
    const envelopes = [wrappedKey, ...(nextWrappedKey === undefined ? [] : [nextWrappedKey])];
    const open = (it: Uint8Array) =>
      it === nextWrappedKey ? openNextDriveKey(identity, driveId, wrappedKey, it) : openDriveKey(identity, driveId, it);
    return firstThatFits(drive, envelopes, open, use);
  }
  return firstThatFits(
    drive,
    restored?.wrappedKeys ?? [],
    (it) => openDriveKey(identity, restored?.driveId ?? '', it),
    async (key) => {
      const result = await use(key);
      await storeFirstKey(session, driveId, key); // it is the one
      return result;
    },
  );
}

async function firstThatFits<T>(
  drive: Drive,
  envelopes: readonly Uint8Array[],
  open: (envelope: Uint8Array) => Uint8Array,
  use: (key: Uint8Array) => Promise<T>,
): Promise<T> {
  for (const [i, envelope] of envelopes.entries()) {
    try {
      return await lend(open(envelope), use);
    } catch (error) {
      if (!isWrongKey(error) || i === envelopes.length - 1) throw error;
    }
  }
  throw noKey(drive);
}

export const isWrongKey = (error: unknown): boolean => error instanceof VmcError && error.code === 'wrong-key';

const noKey = (drive: Drive) =>
  new VmcError(
    'wrong-state',
    `No key of the drive ${driveName(drive)} is stored for you: it was never formatted.`,
    drive.access === 'owner' ? `connect drive format ${drive.name}` : `Ask ${drive.ownerName ?? 'its owner'}.`,
  );

/** One's own drive's present envelope. @throws VmcError 'wrong-state' when there is none, or a change of key is open. */
export function settledEnvelope(drive: Drive): Uint8Array {
  if (drive.wrappedKey === undefined)
    throw drive.restored === undefined
      ? noKey(drive)
      : new VmcError(
          'wrong-state',
          `It has not shown yet which key the restored drive ${drive.name} has.`,
          `Attach it, then: connect drive open ${drive.name}`,
        );
  if (drive.nextWrappedKey !== undefined)
    throw new VmcError(
      'wrong-state',
      `The key of the drive ${drive.name} is being changed.`,
      `Finish that first: connect drive key change ${drive.name}`,
    );
  return drive.wrappedKey;
}

/** Of who shared the drive, as this device knows them: a key that another one signed would let others read what is written. */
async function ownerKey(session: Session, drive: Drive, trust: TrustOptions): Promise<Ed25519PublicKey> {
  const { ownerName } = drive;
  if (ownerName === undefined) throw new VmcError('bad-data', 'The backend does not say whose drive this is.');
  const owner = await findAccount(session, ownerName, trust);
  if (owner.userId !== drive.ownerId)
    throw new VmcError('bad-data', `The backend contradicts itself on whose drive ${drive.name} is. Nothing was done.`);
  note(session.io, `${driveName(drive)}: ${ownerName} can read what you write to it.`);
  return owner.identity.ed25519;
}

/**
 * For formatting: the stored key, else a new one, which is stored first. A crash at any later point loses nothing: the
 * key of whatever may have been formatted is there.
 */
export async function withKeyForFormat<T>(
  session: Session,
  drive: Drive,
  use: (key: Uint8Array) => Promise<T>,
): Promise<T> {
  // A restored drive may yet open with a key that the old one had: a new one would take the place of these for ever.
  const mayHaveKey = drive.wrappedKey !== undefined || (drive.restored?.wrappedKeys.length ?? 0) > 0;
  if (mayHaveKey || drive.access !== 'owner') return withDriveKey(session, drive, use);
  const key = newDriveKey();
  try {
    await storeFirstKey(session, drive.driveId, key);
  } catch (error) {
    wipe(key);
    // Another device of the same person was first: its key is the drive's.
    if (error instanceof VmcError && error.code === 'already-exists')
      return withDriveKey(session, await getDrive(session, drive.driveId), use);
    throw error;
  }
  return lend(key, use);
}

/** @throws VmcError 'already-exists' when another one is stored: it is never replaced. */
export async function storeFirstKey(session: Session, driveId: string, key: Uint8Array): Promise<void> {
  const body = { wrappedKey: toBase64(sealDriveKey(session.identity, driveId, key)) };
  await ask(session, routes.drivePutKey, { params: { driveId }, body });
}

/** Wipes the key whatever happens. */
export async function lend<T>(key: Uint8Array, use: (key: Uint8Array) => Promise<T>): Promise<T> {
  try {
    return await use(key);
  } finally {
    wipe(key);
  }
}
