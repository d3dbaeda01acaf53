/** The drive that a person means, whose it is, and the VM it is attached to. */
import { VmcError } from '../../shared/errors.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Drive, Vm } from '../../shared/rest-api/machines.ts';
import { resolve } from '../resolve.ts';
import { ask, type Session } from '../session.ts';
import { findVm, getVm } from '../vm/find.ts';

/**
 * What a drive is called here: one's own by its name, somebody else's together with whose it is. So the backend cannot
 * put another person's drive in the place of one's own, and have it written to.
 */
export function driveName(drive: Pick<Drive, 'name' | 'access' | 'ownerName'>): string {
  return drive.access === 'owner' ? drive.name : `${drive.name}@${drive.ownerName ?? '?'}`;
}

/** By id, by name (one's own), or by NAME@OWNER (shared with one). */
export async function findDrive(session: Session, wanted: string): Promise<Drive> {
  const { drives } = await ask(session, routes.driveList, { params: {}, body: {} });
  const named = drives.map((drive) => ({ driveId: drive.driveId, name: driveName(drive) }));
  const { driveId, name } = resolve(named, (drive) => drive.driveId, wanted, 'drive');
  const drive = await getDrive(session, driveId); // the list need not carry keys
  if (driveName(drive) !== name) throw new VmcError('bad-data', 'The backend contradicts itself on whose drive it is.');
  return drive;
}

/** One of the person's own. @throws VmcError 'forbidden' for one that was shared with them. */
export async function findOwnDrive(session: Session, wanted: string): Promise<Drive> {
  const drive = await findDrive(session, wanted);
  if (drive.access === 'owner') return drive;
  throw new VmcError(
    'forbidden',
    `${drive.name} is ${drive.ownerName ?? 'somebody'}'s drive: only they can do this.`,
    'Nothing was changed.',
  );
}

export async function getDrive(session: Session, driveId: string): Promise<Drive> {
  const drive = await ask(session, routes.driveGet, { params: { driveId }, body: {} });
  // A key must never go to a drive other than the one asked for.
  if (drive.driveId !== driveId) throw new VmcError('bad-data', 'The backend answered with another drive.');
  return drive;
}

/** How each VM has the drive. */
export function attachmentsOf(drive: Drive): Drive['attachments'] {
  if (drive.attachments.length > 0 || drive.attachedTo === undefined) return drive.attachments;
  return [{ vmId: drive.attachedTo, readOnly: drive.readOnly === true }];
}

export interface VmWithDrive {
  vm: Vm;
  readOnly: boolean;
}

/**
 * The VM in which something is to be done with the drive.
 * @param wanted which one, when several have it. @throws VmcError 'wrong-state' when it is attached to none, or not to that one.
 */
export async function vmOfDrive(session: Session, drive: Drive, wanted?: string): Promise<VmWithDrive> {
  const attachments = attachmentsOf(drive);
  const vmId = wanted === undefined ? undefined : (await findVm(session, wanted)).vmId;
  const [first, ...others] = attachments.filter((it) => vmId === undefined || it.vmId === vmId);
  if (first === undefined)
    throw new VmcError(
      'wrong-state',
      `The drive ${driveName(drive)} is not attached to ${wanted === undefined ? 'a VM' : `the VM ${wanted}`}.`,
      `connect drive attach ${driveName(drive)} ${wanted ?? 'VM'}`,
    );
  if (others.length > 0)
    throw new VmcError(
      'bad-request',
      `The drive ${driveName(drive)} is attached to ${attachments.length} VMs.`,
      `Say which one: --vm ${attachments.map((it) => it.vmId).join(', --vm ')}`,
    );
  return { vm: await getVm(session, first.vmId), readOnly: first.readOnly };
}

/** The VM can be asked: it is neither off nor gone. */
export const isUp = ({ state }: Vm): boolean => state !== 'off' && state !== 'absent' && state !== 'creating';
