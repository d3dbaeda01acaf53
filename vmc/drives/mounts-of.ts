/** Which mounts are of a device. A btrfs has a number of its own in the mount table: there the name of its device tells. */
import { stat } from 'node:fs/promises';
import { type Mount, parseMountinfo } from './parse-mountinfo.ts';

/** @param mountinfo of any process. @param numbers of devices, as major:minor. */
export async function mountsOf(mountinfo: string, numbers: readonly string[]): Promise<Mount[]> {
  const found: Mount[] = [];
  for (const mount of parseMountinfo(mountinfo)) {
    const number = mount.fileSystem === 'btrfs' ? await numberOf(mount.source) : mount.device;
    if (number !== undefined && numbers.includes(number)) found.push(mount);
  }
  return found;
}

/** @returns major:minor (makedev(3)); undefined when there is no such device. */
export async function numberOf(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || !found.isBlockDevice()) return undefined;
  const { rdev } = found;
  return `${(rdev >>> 8) & 0xfff}:${(rdev & 0xff) | ((rdev >>> 12) & 0xfff00)}`;
}
