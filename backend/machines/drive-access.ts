/** Who may do what with a drive (H3): its owner everything; with whom it is shared, attach and detach it. */
import { VmcError } from '../../shared/errors.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import type { Account } from '../store/accounts.ts';
import type { DriveRow } from '../store/drives.ts';
import type { Store } from '../store/store.ts';
import { noSuch } from './deps.ts';

export type Access = Drive['access'];

/** Undefined for who does not have it: administrators too. */
export function accessTo(store: Store, userId: string, drive: DriveRow): Access | undefined {
  return drive.ownerId === userId ? 'owner' : store.driveShares.get(drive.driveId, userId)?.access;
}

/** Somebody else's drive looks like one that does not exist. @throws VmcError 'not-found'. */
export function sharedDrive(store: Store, account: Account, driveId: string): { drive: DriveRow; access: Access } {
  const drive = store.drives.get(driveId);
  const access = drive && accessTo(store, account.userId, drive);
  if (drive === undefined || access === undefined) throw noSuch('drive', driveId, 'connect drive list');
  return { drive, access };
}

/** @throws VmcError 'not-found'; 'forbidden' for a drive that was shared with the caller. */
export function ownDrive(store: Store, account: Account, driveId: string): DriveRow {
  const { drive, access } = sharedDrive(store, account, driveId);
  if (access === 'owner') return drive;
  throw new VmcError('forbidden', `The drive ${drive.name} was shared with you: this is for its owner.`, 'Ask them.');
}

/** @throws VmcError 'forbidden' unless who has this access may have the drive attached so. */
export function requireMode(drive: DriveRow, access: Access, readOnly: boolean): void {
  if (access !== 'ro' || readOnly) return;
  throw new VmcError(
    'forbidden',
    `The drive ${drive.name} was shared with you read-only.`,
    'Use it read-only, or ask its owner for more.',
  );
}
