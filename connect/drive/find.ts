/** The drive that a person means, and the VM it is attached to. */
import { VmcError } from '../../shared/errors.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Drive, Vm } from '../../shared/rest-api/machines.ts';
import { resolve } from '../resolve.ts';
import { ask, type Session } from '../session.ts';
import { getVm } from '../vm/find.ts';

export async function findDrive(session: Session, wanted: string): Promise<Drive> {
  const { drives } = await ask(session, routes.driveList, { params: {}, body: {} });
  const { driveId } = resolve(drives, (drive) => drive.driveId, wanted, 'drive');
  return getDrive(session, driveId); // the list need not carry keys
}

export async function getDrive(session: Session, driveId: string): Promise<Drive> {
  const drive = await ask(session, routes.driveGet, { params: { driveId }, body: {} });
  // A key must never go to a drive other than the one asked for.
  if (drive.driveId !== driveId) throw new VmcError('bad-data', 'The backend answered with another drive.');
  return drive;
}

/** @throws VmcError 'wrong-state' when it is attached to none. */
export async function vmOfDrive(session: Session, drive: Drive): Promise<Vm> {
  if (drive.attachedTo === undefined)
    throw new VmcError(
      'wrong-state',
      `The drive ${drive.name} is not attached to a VM.`,
      `connect drive attach ${drive.name} VM`,
    );
  return getVm(session, drive.attachedTo);
}
