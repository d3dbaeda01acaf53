/** Growing a drive: its file on the host, then what is open of it in a VM: block device, LUKS, file system. */

import type { DriveStatus } from '../../shared/api/drive.ts';
import { driveCareMethods, LEAST_GROWN_BTRFS_BYTES } from '../../shared/api/drive-care.ts';
import { VmcError } from '../../shared/errors.ts';
import { toBase64 } from '../../shared/names.ts';
import { driveFileRoutes } from '../../shared/rest-api/drive-care.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import { ask, type Session } from '../session.ts';
import { getVm } from '../vm/find.ts';
import { attachmentsOf, driveName, isUp } from './find.ts';
import { callVmWithProgress, HOST_WORK_MS, insideVm, statusInVm } from './in-vm.ts';
import { withDriveKey } from './key.ts';

export interface Grown {
  drive: Drive;
  inside?: DriveStatus;
  /** What the person has to do yet. */
  left?: string;
}

/** @throws VmcError 'wrong-state' for a size that the file system, where it is open, cannot grow to: nothing was changed then. */
export async function growDrive(session: Session, before: Drive, sizeBytes: number): Promise<Grown> {
  const { driveId } = before;
  const hasKey = before.wrappedKey !== undefined || before.restored !== undefined;
  const writer = attachmentsOf(before).find((it) => !it.readOnly);
  const isSmall = sizeBytes > before.sizeBytes && sizeBytes < LEAST_GROWN_BTRFS_BYTES;
  if (writer !== undefined && hasKey && isSmall) await requireGrowable(session, before, writer.vmId);
  const resize = { params: { driveId }, body: { sizeBytes } };
  const drive = await ask(session, driveFileRoutes.driveResize, resize, HOST_WORK_MS);
  const left = `The file is larger now. The file system takes the room once the drive is open: connect drive open ${drive.name}, then this command again.`;
  if (!hasKey) return { drive };
  if (writer === undefined || !isUp(await getVm(session, writer.vmId))) return { drive, left };
  const place = { vm: writer.vmId, sendsKey: true };
  const inside = await insideVm(session, before, place, async ({ rpc }) => {
    const { state, readOnly } = await statusInVm(session, rpc, driveId);
    if (state !== 'mounted' || readOnly === true) return undefined;
    return withDriveKey(session, before, (key) =>
      callVmWithProgress(session, rpc, driveCareMethods.driveGrow, { driveId, key: toBase64(key) }),
    );
  });
  return inside === undefined ? { drive, left } : { drive, inside };
}

async function requireGrowable(session: Session, drive: Drive, vmId: string): Promise<void> {
  if (!isUp(await getVm(session, vmId))) return;
  const { fileSystem } = await insideVm(session, drive, { vm: vmId }, ({ rpc }) =>
    statusInVm(session, rpc, drive.driveId),
  );
  if (fileSystem !== 'btrfs') return;
  const least = `${LEAST_GROWN_BTRFS_BYTES / 1024 ** 2}MiB`;
  throw new VmcError(
    'wrong-state',
    `The file system of ${driveName(drive)} is a btrfs: it grows to no less than ${least}. Nothing was changed.`,
    `connect drive grow ${drive.name} --size ${least}`,
  );
}
