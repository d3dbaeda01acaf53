/** Runs a program with this process's own streams, for one that a person talks to: an argv array, never a shell. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { VmcError } from '../shared/errors.ts';
import { isErrno } from '../shared/files.ts';

/** @returns its exit code, or 128 and the signal's number as a shell says it. @throws VmcError 'command-failed'. */
export function runHere(file: string, args: readonly string[], signal: AbortSignal): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const child = spawn(file, [...args], { stdio: 'inherit' });
  const stop = () => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  child.once('error', (error) => {
    signal.removeEventListener('abort', stop);
    const missing = isErrno(error, 'ENOENT');
    reject(
      new VmcError(
        'command-failed',
        missing ? `${file} is not installed.` : `${file} cannot be run: ${error.message}.`,
        missing ? 'On Debian: apt install openssh-client' : undefined,
      ),
    );
  });
  child.once('close', (code, ended) => {
    signal.removeEventListener('abort', stop);
    resolve(code ?? 128 + (ended === null ? 0 : constants.signals[ended]));
  });
  return promise;
}
