/**
 * One mount at a time under a name: a drive, an ISO image or an NFS export. From looking whether the place is free until
 * something is mounted there hours can pass, as a file system is checked in between; two drives on one folder would have
 * people write to the wrong one.
 */
import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { makeFolder } from '../../shared/files.ts';
import { lockFile } from '../file-lock.ts';

/** Several names share a lock: so people cannot make files without end by asking for ever other names. */
const lockName = (mountPoint: string) =>
  `mount-${createHash('sha256').update(basename(mountPoint)).digest('hex').slice(0, 2)}.lock`;

/** @throws VmcError 'busy' when another mount of this name takes longer than `waitMs`; what `signal` was aborted with. */
export async function withMountTurn<T>(
  mountPoint: string,
  { folder, waitMs, signal }: { folder: string; waitMs: number; signal: AbortSignal },
  work: () => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  await makeFolder(folder, 0o700);
  const lock = await lockFile(join(folder, lockName(mountPoint)), { waitMs, signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error;
  });
  if ('holder' in lock)
    throw new VmcError(
      'busy',
      `${mountPoint}, or a folder beside it, is just being mounted or unmounted: ${lock.holder}.`,
      'Wait until that is done, or choose another name.',
    );
  try {
    return await work();
  } finally {
    await lock.release();
  }
}
