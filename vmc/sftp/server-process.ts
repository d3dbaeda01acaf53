/** One sftp-server(8), running as the person whose session it is. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { ServerCommand } from './plan-server.ts';

export interface ServerProcess {
  child: ChildProcessWithoutNullStreams;
  /** Resolves with the exit code when it is gone and all that it wrote was read; undefined when a signal ended it, or it never began. */
  ended: Promise<number | undefined>;
  /** Ends it and whatever it started, at once. */
  kill(): void;
}

/** Not by `run`, which collects output: this one talks. */
export function startServer({ file, args, env, cwd }: ServerCommand): ServerProcess {
  // A session, and so a process group, of its own: all of it can be killed, and no terminal's signals reach it.
  const child = spawn(file, args, { cwd, env, detached: true, stdio: 'pipe' });
  const { promise: ended, resolve } = Promise.withResolvers<number | undefined>();
  let gone = false;
  child.once('exit', () => {
    gone = true;
  });
  child.once('close', (code) => resolve(code ?? undefined));
  child.on('error', () => resolve(undefined));
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on('error', () => {}); // 'close' follows
  return {
    child,
    ended,
    kill() {
      if (gone || child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        child.kill('SIGKILL');
      }
    },
  };
}
