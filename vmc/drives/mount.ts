/** Mounting under the root for drives, and taking it down again. */
import { lstat, mkdir, readdir, readFile, rmdir } from 'node:fs/promises';
import type { FileSystem } from '../../shared/api/drive.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { CommandError, run } from '../../shared/run.ts';
import { describeHolders, findHolders } from './holders.ts';
import { parseMountinfo } from './parse-mountinfo.ts';

const TIMEOUT_MS = 120_000;
/** Read-only also means that no journal is replayed: not a byte is written. */
const READ_ONLY: Record<FileSystem, string> = {
  ext4: 'ro,noload',
  xfs: 'ro,norecovery,nouuid',
  btrfs: 'ro,rescue=nologreplay',
};
/**
 * A damaged ext4 is written to no more. An xfs whose copy is mounted too (a restored snapshot beside its origin) has the same
 * UUID: which device is meant is known here. Newer kernels would let btrfs discard all the time: that is the trim's
 * business here.
 */
const READ_WRITE: Record<FileSystem, string> = {
  ext4: 'rw,errors=remount-ro',
  xfs: 'rw,nouuid',
  btrfs: 'rw,nodiscard',
};

/** mount(8) options; devices and set-uid programs on a drive never work. */
export function mountOptions(fileSystem: FileSystem, readOnly: boolean): string {
  return `nodev,nosuid,${(readOnly ? READ_ONLY : READ_WRITE)[fileSystem]}`;
}

/** Makes the folder, or takes an empty one. @returns whether it was made. @throws VmcError 'already-exists'. */
export async function prepareMountPoint(path: string): Promise<boolean> {
  const refused = (why: string) => new VmcError('already-exists', `${path} ${why}.`, 'Choose another name.');
  try {
    await mkdir(path, { mode: 0o755 });
    return true;
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  // First: a look at a mount whose NFS server is dead would take long.
  const mounts = parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
  if (mounts.some(({ mountPoint }) => mountPoint === path)) throw refused('has something mounted on it');
  if (!(await lstat(path)).isDirectory()) throw refused('is there and is not a folder');
  if ((await readdir(path)).length > 0) throw refused('is a folder that is not empty');
  return false;
}

export async function mount(source: string, target: string, fileSystem: FileSystem, readOnly: boolean): Promise<void> {
  const args = ['--types', fileSystem, '--options', mountOptions(fileSystem, readOnly), '--', source, target];
  await run({ file: 'mount', args, timeoutMs: TIMEOUT_MS });
}

/** @throws VmcError 'busy' that names who holds it. */
export async function unmount(mountPoint: string): Promise<void> {
  try {
    await run({ file: 'umount', args: ['--', mountPoint], timeoutMs: TIMEOUT_MS });
  } catch (error) {
    if (!(error instanceof CommandError) || !/busy/.test(error.stderr)) throw error;
    throw new VmcError(
      'busy',
      `${mountPoint} is in use by ${describeHolders(await findHolders(mountPoint))}.`,
      'End these programs, or let them leave the folder; then close again.',
      { cause: error },
    );
  }
}

/** Removes an empty mount point; one that is not empty stays, as it then holds something of the VM's own. */
export async function removeMountPoint(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    if (!['ENOTEMPTY', 'ENOENT', 'EBUSY'].some((code) => isErrno(error, code))) throw error;
  }
}
