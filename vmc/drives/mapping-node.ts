/** What the kernel calls an open drive's volume. */
import { readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { readIfThere } from '../../shared/files.ts';
import { numberOf } from './mounts-of.ts';
import { mappingName } from './names.ts';

/**
 * A cryptsetup that was killed may leave a node whose number is another mapping's by now: the kernel says whose it is.
 * @returns major:minor; undefined when there is no mapping of that name.
 */
export async function mappingNumber(name: string): Promise<string | undefined> {
  const number = await numberOf(`/dev/mapper/${name}`);
  if (number === undefined) return undefined;
  return (await readIfThere(`/sys/dev/block/${number}/dm/name`))?.trim() === name ? number : undefined;
}

/** @returns e.g. dm-0. @throws VmcError 'wrong-state' when the drive is not open. */
export async function mappingNode(driveId: string): Promise<string> {
  const number = await mappingNumber(mappingName(driveId));
  if (number === undefined) throw new VmcError('wrong-state', `The drive ${driveId} is not open.`);
  return basename(await readlink(`/sys/dev/block/${number}`));
}
