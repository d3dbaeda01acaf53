/**
 * A drive's file is all that there is of the drive. Whoever can write to the pool (a machine that has broken out of QEMU,
 * another host of a shared pool) could have it lead to any file of this host, which the VM would then read.
 */
import { lstat } from 'node:fs/promises';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { driveIdSchema } from '../../shared/names.ts';
import type { Disk } from '../domains/inventory.ts';
import type { ImageInfo } from './parse-qemu-img.ts';
import { type Format, imageInfo } from './qemu-img.ts';

/** @throws VmcError 'bad-data' for a link, and for a qcow2 file with a backing or a data file; 'not-found'. */
export async function requireAlone(path: string, format: Format): Promise<ImageInfo> {
  if (!(await isRegular(path))) throw leadsAway(path);
  const info = await imageInfo(path, format);
  if (info.backingFile !== undefined || info.dataFile !== undefined) throw leadsAway(path);
  return info;
}

/** Of the drives with which a VM is about to start. @throws VmcError as `requireAlone`. */
export async function requireDrivesAlone(disks: readonly Disk[]): Promise<void> {
  for (const { file, format, serial } of disks)
    if (driveIdSchema.safeParse(serial).success) await requireAlone(file, format === 'raw' ? 'raw' : 'qcow2');
}

async function isRegular(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isFile();
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      throw new VmcError('not-found', `There is no file ${path}.`, 'Is its file system mounted?');
    throw error;
  }
}

const leadsAway = (path: string) =>
  new VmcError('bad-data', `${path} leads to other files; a drive never does.`, 'Find out who has changed it.');
