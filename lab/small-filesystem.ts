/** A folder with a file system of its own, of a given size, so that a test can fill it. */
import { truncate, writeFile } from 'node:fs/promises';
import { VmcError } from '../shared/errors.ts';
import { makeFolder } from '../shared/files.ts';
import { run } from '../shared/run.ts';
import type { Undo } from '../shared/undo.ts';

/**
 * ext4 in a sparse file beside the folder; where the machine has no loop devices, a tmpfs. Before any process enters a
 * mount namespace of the lab: later mounts do not reach those. @param mode of the folder.
 */
export async function mountSmallFileSystem(folder: string, sizeMiB: number, mode: number, undo: Undo): Promise<void> {
  await makeFolder(folder, mode);
  const image = `${folder}.ext4`;
  await writeFile(image, '', { mode: 0o600 });
  await truncate(image, sizeMiB * 1024 * 1024);
  await run({ file: 'mke2fs', args: ['-q', '-t', 'ext4', '-m', '0', image], timeoutMs: 60_000 });
  const loop = await mount(['-o', 'loop', image, folder]);
  if (!loop && !(await mount(['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', folder])))
    throw new VmcError('command-failed', `No file system can be mounted on ${folder}.`, 'Run as root.');
  undo.add(`mount of ${folder}`, () => unmount(folder));
  await run({ file: 'chmod', args: [mode.toString(8), folder], timeoutMs: 10_000 });
}

/** Whatever is mounted there or below: a run that was killed leaves its mounts. */
export async function unmountBelow(folder: string): Promise<void> {
  const { stdout } = await run({
    file: 'findmnt',
    args: ['--list', '--noheadings', '--output', 'TARGET'],
    timeoutMs: 10_000,
  });
  const below = stdout.split('\n').filter((line) => line.startsWith(`${folder}/`));
  for (const target of below.reverse()) await unmount(target);
}

/** Lazily: a process of the lab that is just ending may still have a file open. */
async function unmount(folder: string): Promise<void> {
  await run({ file: 'umount', args: ['--lazy', folder], timeoutMs: 30_000 });
}

async function mount(args: readonly string[]): Promise<boolean> {
  return (await run({ file: 'mount', args, timeoutMs: 30_000, okExitCodes: [0, 1, 32] })).exitCode === 0;
}
