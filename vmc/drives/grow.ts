/** Taking the room that the host has added, while the drive stays mounted. Every step is right again when it is repeated. */
import { readFile, realpath, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { FileSystem } from '../../shared/api/drive.ts';
import { run } from '../../shared/run.ts';
import { before } from './fault-points.ts';
import { checkKey, luksResize } from './luks.ts';
import { mappingPath } from './names.ts';
import { canGrow } from './plan-grow.ts';

/** In 512-byte units, always. */
const bytesOf = async (name: string) => Number(await readFile(`/sys/class/block/${name}/size`, 'utf8')) * 512;

/** @throws VmcError 'wrong-key', 'wrong-state' when the device has become smaller: nothing was changed then. */
export async function growVolume(driveId: string, device: string, key: Uint8Array): Promise<void> {
  const disk = basename(device);
  await writeFile(`/sys/class/block/${disk}/device/rescan`, '1');
  const mapping = basename(await realpath(mappingPath(driveId)));
  if (!canGrow(driveId, await bytesOf(disk), await bytesOf(mapping))) return checkKey(driveId, device, key);
  await before('drive.grow:luks');
  await luksResize(driveId, device, key);
}

/** Online; one that is as large as its volume stays as it is. @param lock inherited. */
export async function growFileSystem(
  driveId: string,
  { mountPoint, fileSystem }: { mountPoint: string; fileSystem: FileSystem },
  lock: number,
): Promise<void> {
  const grow: Record<FileSystem, { file: string; args: string[] }> = {
    ext4: { file: 'resize2fs', args: [mappingPath(driveId)] },
    xfs: { file: 'xfs_growfs', args: ['-d', mountPoint] },
    btrfs: { file: 'btrfs', args: ['filesystem', 'resize', 'max', mountPoint] },
  };
  await before('drive.grow:file-system');
  await run({ ...grow[fileSystem], timeoutMs: 60 * 60_000, inherit: lock });
}
