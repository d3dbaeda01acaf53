/**
 * A fresh file system belongs to root alone. Its root folder is given to the people who may use drives, so that they can work
 * there without root. Only a root folder that nobody has changed or put anything into: what people set up stays.
 */
import { chmod, lstat, open, readdir } from 'node:fs/promises';
import { isFreshRoot } from './plan-root.ts';

/** Everybody in the group may write; what they make belongs to the group, too; others do not get in. */
const MODE = 0o2770;

export async function giveToPeople(mountPoint: string, gid: () => Promise<number>): Promise<void> {
  const { uid, gid: group, mode } = await lstat(mountPoint);
  if (!isFreshRoot({ uid, gid: group, mode: mode & 0o7777 }, await readdir(mountPoint))) return;
  const people = await gid();
  await chmod(mountPoint, MODE); // first: after a crash it still is root's, and recognised
  const folder = await open(mountPoint);
  try {
    await folder.chown(0, people);
    await folder.sync();
  } finally {
    await folder.close();
  }
}
