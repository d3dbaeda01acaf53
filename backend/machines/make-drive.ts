/** A drive's row and its file: both, or neither. */
import { agentMethods, type DriveFile } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import type { DriveRow } from '../store/drives.ts';
import type { MachineDeps } from './deps.ts';
import { ignoreAbsent } from './vm-handlers.ts';

/** @throws VmcError 'limit', 'already-exists'. */
export function addDrive(
  { store, now, limits }: MachineDeps,
  drive: Omit<DriveRow, 'phase' | 'unsure' | 'createdAt'>,
): void {
  if (store.drives.countOf(drive.ownerId) >= limits.drivesPerUser)
    throw new VmcError('limit', `You have ${limits.drivesPerUser} drives, and may not have more.`);
  store.drives.add({ ...drive, createdAt: now() });
}

/** The caller holds the drive's lock. @throws what `make` throws; then nothing half made stays behind. */
export async function makingFile(
  deps: MachineDeps,
  hostId: string,
  driveId: string,
  make: () => Promise<DriveFile>,
): Promise<DriveFile> {
  try {
    const file = await make();
    deps.store.drives.setFile(driveId, file);
    deps.store.drives.setPhase(driveId, 'made');
    return file;
  } catch (error) {
    await removeHalfMade(deps, hostId, driveId);
    throw error;
  }
}

/** What cannot be removed now stays listed, to be deleted later. */
async function removeHalfMade({ store, links, log }: MachineDeps, hostId: string, driveId: string): Promise<void> {
  try {
    await ignoreAbsent(links.call(hostId, agentMethods.driveDelete, { driveId }));
    store.drives.remove(driveId);
  } catch {
    store.drives.setPhase(driveId, 'failed');
    log.warn('drive half made', { driveId, hostId });
  }
}
