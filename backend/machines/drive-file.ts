/** What changes a drive's file: the backend follows what its host says the file is. */
import { agentMethods, type DriveFile, driveSizeSchema } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import type { DriveRow } from '../store/drives.ts';
import type { MachineDeps } from './deps.ts';

/**
 * The caller holds the drive's lock. When it fails the host is asked how the file is; if it cannot be, that is settled once it
 * reports again.
 */
export async function changingFile(
  deps: MachineDeps,
  { driveId, hostId }: DriveRow,
  change: () => Promise<DriveFile>,
): Promise<DriveFile> {
  const { store } = deps;
  store.drives.setUnsure(driveId);
  try {
    const file = await change();
    followFile(deps, driveId, file);
    return file;
  } catch (error) {
    await settleFile(deps, { driveId, hostId }).catch(() => {});
    throw error;
  }
}

/** Asks the host, and follows it. The caller holds the drive's lock. @throws what the agent answers. */
export async function settleFile(
  deps: MachineDeps,
  { driveId, hostId }: Pick<DriveRow, 'driveId' | 'hostId'>,
): Promise<void> {
  followFile(deps, driveId, await deps.links.call(hostId, agentMethods.driveInfo, { driveId }));
}

/** @throws VmcError 'bad-data' for a size that no drive has: a host may say anything. */
function followFile({ store }: MachineDeps, driveId: string, { format, sizeBytes }: DriveFile): void {
  if (!driveSizeSchema.safeParse(sizeBytes).success)
    throw new VmcError('bad-data', 'The host named a size that no drive can have.');
  store.drives.setFile(driveId, { format, sizeBytes });
}
