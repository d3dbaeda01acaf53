/** Runs the bench as a person does, and looks at what it leaves. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { NODE, ROOT } from '../../../lab/programs.ts';

export interface Run {
  child: ChildProcess;
  stdout(): string;
  stderr(): string;
  /** Resolves when this has been said on stderr. */
  said(text: string): Promise<void>;
  ended: Promise<number | null>;
}

export function bench(args: readonly string[]): Run {
  const child = spawn(NODE, [join(ROOT, 'bench', 'main.ts'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGINT'));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const said = async (text: string): Promise<void> => {
    while (!stderr.includes(text))
      await Promise.race([once(child.stderr, 'data'), ended.then(() => Promise.reject(new Error(stderr)))]);
  };
  return { child, stdout: () => stdout, stderr: () => stderr, said, ended };
}

export const folderOf = (stderr: string): string => /working in (\S+)/.exec(stderr)?.[1] ?? 'no folder';

/** Processes that have a file of this folder open: each program of the bench logs to one. */
export function usersOf(folder: string): string[] {
  const open = (pid: string): string[] => {
    try {
      return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      return []; // it ended meanwhile
    }
  };
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && open(pid).some((path) => path.startsWith(folder)));
}
