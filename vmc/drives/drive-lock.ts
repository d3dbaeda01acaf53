/** One process at a time for each drive: the daemon, and `vmc drive …` on the spot. */
import { join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { makeFolder } from '../../shared/files.ts';
import { diskIdSchema } from '../../shared/names.ts';
import { type FileLock, lockFile } from '../file-lock.ts';
import { wordsFor } from './names.ts';

/** Gone after a boot, as all that these files speak of. */
export const RUN_FOLDER = '/run/vmc/drives';

/** @throws VmcError 'busy' that names the process that has the drive; what `signal` was aborted with. */
export async function lockDrive(
  driveId: string,
  options: { folder: string; waitMs: number; signal: AbortSignal },
): Promise<FileLock> {
  const { folder, waitMs, signal } = options;
  diskIdSchema.parse(driveId);
  await makeFolder(folder, 0o700);
  const lock = await lockFile(join(folder, `${driveId}.lock`), { waitMs, signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error;
  });
  if ('fd' in lock) return lock;
  throw new VmcError(
    'busy',
    `Another vmc works on the ${wordsFor(driveId)}: ${lock.holder}.`,
    'Wait until it is done, then try again.',
  );
}
