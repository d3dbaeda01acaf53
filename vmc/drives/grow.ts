/** Taking the room that the host has added, while the drive stays mounted. Every step is right again when it is repeated. */
import { readFile, statfs, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { FileSystem } from '../../shared/api/drive.ts';
import { run } from '../../shared/run.ts';
import { before } from './fault-points.ts';
import { checkKey, luksResize } from './luks.ts';
import { mappingNode } from './mapping-node.ts';
import { mappingPath } from './names.ts';
import { canGrow, canResizeBtrfs } from './plan-grow.ts';

/** In 512-byte units, always. */
const bytesOf = async (name: string) => Number(await readFile(`/sys/class/block/${name}/size`, 'utf8')) * 512;

interface Mounted {
  mountPoint: string;
  fileSystem: FileSystem;
}

/** @throws VmcError 'wrong-key', 'wrong-state' for a device that has become smaller, or is too small for a btrfs to grow: nothing was changed then. */
export async function growVolume(driveId: string, device: string, mounted: Mounted, key: Uint8Array): Promise<void> {
  const disk = basename(device);
  await writeFile(`/sys/class/block/${disk}/device/rescan`, '1');
  const mapping = await mappingNode(driveId);
  await canResize(driveId, device, mounted);
  if (!canGrow(driveId, await bytesOf(disk), await bytesOf(mapping))) return checkKey(driveId, device, key);
  await before('drive.grow:luks');
  await luksResize(driveId, device, key);
}

/** Online; one that is as large as its volume stays as it is. @param lock inherited. */
export async function growFileSystem(driveId: string, device: string, mounted: Mounted, lock: number): Promise<void> {
  const { mountPoint, fileSystem } = mounted;
  const grow: Record<FileSystem, { file: string; args: string[] }> = {
    ext4: { file: 'resize2fs', args: [mappingPath(driveId)] },
    xfs: { file: 'xfs_growfs', args: ['-d', mountPoint] },
    btrfs: { file: 'btrfs', args: ['filesystem', 'resize', 'max', mountPoint] },
  };
  await before('drive.grow:file-system');
  if (!(await canResize(driveId, device, mounted))) return;
  await run({ ...grow[fileSystem], timeoutMs: 60 * 60_000, inherit: lock });
}

/** @returns false for a btrfs that is as large as it can be, and must not be told so. @throws as `canResizeBtrfs`. */
async function canResize(driveId: string, device: string, { mountPoint, fileSystem }: Mounted): Promise<boolean> {
  if (fileSystem !== 'btrfs') return true;
  const { blocks, bsize } = await statfs(mountPoint);
  return canResizeBtrfs(driveId, await bytesOf(basename(device)), blocks * bsize);
}
