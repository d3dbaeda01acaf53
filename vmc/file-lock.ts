/**
 * A lock between processes. The kernel holds it (flock(2)) for as long as the file is open here, and lets it go when the
 * process ends, however it ends. Node has no flock: flock(1) takes it on the descriptor that it inherits, and it belongs to
 * the open file, not to who asked for it. So a command that inherits `fd` holds it too, for as long as it runs.
 */
import { open } from 'node:fs/promises';
import { run } from '../shared/run.ts';

const TAKEN = 75;

export interface FileLock {
  fd: number;
  release(): Promise<void>;
}

/** @param waitMs how long another process may go on having it. @returns the lock, or in words which process has it. */
export async function lockFile(
  path: string,
  { waitMs = 0, signal }: { waitMs?: number; signal?: AbortSignal } = {},
): Promise<FileLock | { holder: string }> {
  const file = await open(path, 'a+', 0o600);
  try {
    const patience = waitMs === 0 ? ['--nonblock'] : ['--timeout', String(waitMs / 1000)];
    const { exitCode } = await run({
      file: 'flock',
      args: ['--conflict-exit-code', String(TAKEN), ...patience, '3'],
      inherit: file.fd,
      timeoutMs: waitMs + 10_000,
      okExitCodes: [0, TAKEN],
      ...(signal === undefined ? {} : { signal }),
    });
    if (exitCode === TAKEN) {
      const pid = (await file.readFile('utf8')).trim();
      await file.close();
      return { holder: `process ${/^\d+$/.test(pid) ? pid : '(not yet known)'}` };
    }
    await file.truncate();
    await file.appendFile(`${process.pid}\n`);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { fd: file.fd, release: () => file.close() };
}
