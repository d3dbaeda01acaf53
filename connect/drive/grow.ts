/** Growing a drive: its file on the host, then what is open of it in a VM: block device, LUKS, file system. */

import type { DriveStatus } from '../../shared/api/drive.ts';
import { driveCareMethods } from '../../shared/api/drive-care.ts';
import { toBase64 } from '../../shared/names.ts';
import { driveFileRoutes } from '../../shared/rest-api/drive-care.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import { ask, type Session } from '../session.ts';
import { getVm } from '../vm/find.ts';
import { attachmentsOf, isUp } from './find.ts';
import { callVmWithProgress, HOST_WORK_MS, insideVm, statusInVm } from './in-vm.ts';
import { withDriveKey } from './key.ts';

export interface Grown {
  drive: Drive;
  inside?: DriveStatus;
  /** What the person has to do yet. */
  left?: string;
}

export async function growDrive(session: Session, before: Drive, sizeBytes: number): Promise<Grown> {
  const { driveId } = before;
  const resize = { params: { driveId }, body: { sizeBytes } };
  const drive = await ask(session, driveFileRoutes.driveResize, resize, HOST_WORK_MS);
  const left = `The file is larger now. The file system takes the room once the drive is open: connect drive open ${drive.name}, then this command again.`;
  const hasKey = before.wrappedKey !== undefined || before.restored !== undefined;
  if (!hasKey) return { drive };
  const writer = attachmentsOf(before).find((it) => !it.readOnly);
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
