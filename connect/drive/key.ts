/** The key of a drive: made on this device, stored wrapped before it is used, lent to what needs it, then wiped. */
import { randomBytes } from 'node:crypto';
import { wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { toBase64 } from '../../shared/names.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import { ask, type Session } from '../session.ts';
import { getDrive } from './find.ts';
import { openDriveKey, sealDriveKey } from './key-envelope.ts';

/** @throws VmcError 'wrong-state' when no key is stored: the drive was never formatted. */
export async function withDriveKey<T>(
  session: Session,
  drive: Drive,
  use: (key: Uint8Array) => Promise<T>,
): Promise<T> {
  if (drive.wrappedKey === undefined)
    throw new VmcError(
      'wrong-state',
      `No key of the drive ${drive.name} is stored: it was never formatted.`,
      `connect drive format ${drive.name}`,
    );
  return lend(openDriveKey(session.identity, drive.driveId, drive.wrappedKey), use);
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
  if (drive.wrappedKey !== undefined) return withDriveKey(session, drive, use);
  const key = new Uint8Array(randomBytes(32));
  try {
    const body = { wrappedKey: toBase64(sealDriveKey(session.identity, drive.driveId, key)) };
    await ask(session, routes.drivePutKey, { params: { driveId: drive.driveId }, body });
  } catch (error) {
    wipe(key);
    // Another device of the same person was first: its key is the drive's.
    if (error instanceof VmcError && error.code === 'already-exists')
      return withDriveKey(session, await getDrive(session, drive.driveId), use);
    throw error;
  }
  return lend(key, use);
}

async function lend<T>(key: Uint8Array, use: (key: Uint8Array) => Promise<T>): Promise<T> {
  try {
    return await use(key);
  } finally {
    wipe(key);
  }
}
