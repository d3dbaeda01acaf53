/**
 * Documents for libvirt's backup. https://libvirt.org/formatbackup.html, https://libvirt.org/formatcheckpoint.html
 * A checkpoint here lives no longer than the job: it is libvirt's name for a bitmap in the drive's file, and the bitmap is
 * what stays. So nothing that libvirt forbids while there are checkpoints is ever forbidden.
 */
import { buildXml } from '../libvirt/xml.ts';

/** @param disk target name in the VM, such as sdb. @param file made by libvirt. @param parentId the bitmap of that name says what has changed. */
export const backupXml = (disk: string, file: string, parentId: string | undefined): string =>
  buildXml({
    domainbackup: {
      '@mode': 'push',
      ...(parentId === undefined ? {} : { incremental: parentId }),
      disks: {
        disk: [
          {
            '@name': disk,
            '@backup': 'yes',
            '@type': 'file',
            target: { '@file': file },
            driver: { '@type': 'qcow2' },
          },
        ],
      },
    },
  });

/** The bitmap has the checkpoint's name; disks that are not named have none. */
export const checkpointXml = (disk: string, snapshotId: string): string =>
  buildXml({
    domaincheckpoint: {
      name: snapshotId,
      creationTime: 1, // for libvirt's own order only, and only of one that is known already
      disks: { disk: [{ '@name': disk, '@checkpoint': 'bitmap', '@bitmap': snapshotId }] },
    },
  });
