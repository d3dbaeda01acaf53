/** One vmc a state folder. */
import { join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { type FileLock, lockFile } from '../file-lock.ts';

export const lockPath = (stateDir: string): string => join(stateDir, 'lock');

/** @throws VmcError 'busy' that names the process that has the folder. */
export async function lockStateFolder(stateDir: string): Promise<FileLock> {
  const lock = await lockFile(lockPath(stateDir));
  if ('fd' in lock) return lock;
  throw new VmcError(
    'busy',
    `Another vmc has the state folder ${stateDir}: ${lock.holder}.`,
    'Two must not run on one folder: systemctl status vmc',
  );
}
