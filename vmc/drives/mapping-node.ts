/** The kernel's name of an open drive's volume. */
import { readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { numberOf } from './mounts-of.ts';
import { mappingPath } from './names.ts';

/** @returns e.g. dm-0. @throws VmcError 'wrong-state' when the drive is not open. */
export async function mappingNode(driveId: string): Promise<string> {
  const number = await numberOf(mappingPath(driveId));
  if (number === undefined) throw new VmcError('wrong-state', `The drive ${driveId} is not open.`);
  return basename(await readlink(`/sys/dev/block/${number}`));
}
