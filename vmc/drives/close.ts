/** Letting go of a drive, in order: who holds it, unmount, lock. It is never torn away from a process that uses it. */
import { dirname } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { before } from './fault-points.ts';
import { describeHolders, findDeviceHolders } from './holders.ts';
import { luksClose } from './luks.ts';
import { removeMountPoint, unmount } from './mount.ts';
import { mappingName } from './names.ts';
import type { Observed } from './observe.ts';

type Open = Pick<Observed, 'driveId' | 'mounts' | 'holders'>;

/** @throws VmcError 'busy' that names who holds it. */
export async function unmountAndLock({ driveId, mounts, holders }: Open, mountRoot: string): Promise<void> {
  const elsewhere = mounts.filter(({ mountPoint }) => dirname(mountPoint) !== mountRoot);
  if (elsewhere.length > 0)
    throw new VmcError(
      'busy',
      `The drive ${driveId} is also mounted on ${elsewhere.map(({ mountPoint }) => mountPoint).join(', ')}.`,
      'Unmount that first.',
    );
  for (const { mountPoint } of mounts) {
    await before('drive.close:unmount');
    await unmount(mountPoint);
  }
  if (holders.includes(mappingName(driveId))) {
    await before('drive.close:luks-close');
    await luksClose(driveId).catch(async (error: unknown) => {
      if (!(error instanceof VmcError) || error.code !== 'busy') throw error;
      throw new VmcError(
        'busy',
        `The drive ${driveId} is unmounted here, but in use by ${describeHolders(await findDeviceHolders(driveId))}.`,
        'End these programs, then close again.',
        { cause: error },
      );
    });
  }
  // Last: to remove it tears it away from other mount namespaces, as a lazy unmount does.
  for (const { mountPoint } of mounts) {
    await before('drive.close:remove-mount-point');
    await removeMountPoint(mountPoint);
  }
}
