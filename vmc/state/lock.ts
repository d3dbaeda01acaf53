/**
 * One vmc a state folder. The kernel holds the lock (flock(2)) for as long as the file is open here, and lets it go when
 * the process ends, however it ends. Node has no flock: flock(1) takes it on the descriptor that it inherits, and it
 * belongs to the open file, not to who asked for it.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { run } from '../../shared/run.ts';

export const lockPath = (stateDir: string): string => join(stateDir, 'lock');

const TAKEN = 75;

export interface Lock {
  release(): Promise<void>;
}

/** @throws VmcError 'busy' that names the process that has the folder. */
export async function lockStateFolder(stateDir: string): Promise<Lock> {
  const path = lockPath(stateDir);
  const file = await open(path, 'a+', 0o600);
  try {
    const args = ['--nonblock', '--conflict-exit-code', String(TAKEN), '3'];
    const { exitCode } = await run({
      file: 'flock',
      args,
      inherit: file.fd,
      timeoutMs: 10_000,
      okExitCodes: [0, TAKEN],
    });
    if (exitCode === TAKEN) {
      const holder = (await file.readFile('utf8')).trim();
      throw new VmcError(
        'busy',
        `Another vmc has the state folder ${stateDir}: process ${/^\d+$/.test(holder) ? holder : '(not yet known)'}.`,
        'Two must not run on one folder: systemctl status vmc',
      );
    }
    await file.truncate();
    await file.appendFile(`${process.pid}\n`);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { release: () => file.close() };
}
