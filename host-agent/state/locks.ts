/**
 * One lock an object, shared by the daemon and by CLI processes. The kernel holds it (flock(2)) for as long as the file is
 * open here, and lets it go when the process ends, however it ends; the file's text only says who that is. Node has no
 * flock: flock(1) takes it on the descriptor that it inherits.
 */
import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { isErrno, makeFolder } from '../../shared/files.ts';
import { run } from '../../shared/run.ts';

const TAKEN = 75;

interface Held {
  path: string;
  file: FileHandle;
}

export class Locks {
  readonly #folder: string;
  readonly #waitMs: number;

  /** @param waitMs how long `hold` waits for each lock before it says `busy`. */
  constructor(folder: string, waitMs = 30_000) {
    this.#folder = folder;
    this.#waitMs = waitMs;
  }

  /** Runs `work` while holding every lock of `names` (ids of objects). @throws VmcError 'busy'. */
  async hold<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
    await makeFolder(this.#folder, 0o700);
    const held: Held[] = [];
    try {
      // In one order everywhere, or two holders of one lock each would wait for the other's.
      for (const name of [...new Set(names)].sort()) held.push(await this.#take(name));
      return await work();
    } finally {
      for (const { path, file } of held.reverse()) {
        await rm(path, { force: true }); // while it is held: nobody else's file can be by that name
        await file.close();
      }
    }
  }

  /** True while someone alive holds it. */
  async isHeld(name: string): Promise<boolean> {
    let file: FileHandle;
    try {
      file = await open(this.#path(name), 'r');
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
    try {
      return !(await flock(file, ['--shared', '--nonblock'], 0));
    } finally {
      await file.close();
    }
  }

  #path(name: string): string {
    return join(this.#folder, `${name}.lock`);
  }

  async #take(name: string): Promise<Held> {
    const path = this.#path(name);
    const deadline = performance.now() + this.#waitMs;
    for (;;) {
      const file = await open(path, 'a+', 0o600);
      try {
        const leftMs = Math.max(1, deadline - performance.now());
        if (!(await flock(file, ['--exclusive', '--wait', (leftMs / 1000).toFixed(3)], leftMs)))
          throw busy(name, await file.readFile('utf8'));
        // Whoever held it before has removed the file: then this one is by no name, and others lock another.
        if (await isFileBy(path, file)) {
          await file.truncate();
          await file.appendFile(`${process.pid}\n`);
          return { path, file };
        }
      } catch (error) {
        await file.close();
        throw error;
      }
      await file.close();
    }
  }
}

/** @returns false when somebody else has it. */
async function flock(file: FileHandle, how: readonly string[], waitMs: number): Promise<boolean> {
  const { exitCode } = await run({
    file: 'flock',
    args: [...how, '--conflict-exit-code', String(TAKEN), '3'],
    inherit: file.fd,
    timeoutMs: waitMs + 10_000,
    okExitCodes: [0, TAKEN],
  });
  return exitCode === 0;
}

async function isFileBy(path: string, file: FileHandle): Promise<boolean> {
  const mine = await file.stat();
  try {
    const there = await stat(path);
    return there.ino === mine.ino && there.dev === mine.dev;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

function busy(name: string, text: string): VmcError {
  const pid = /^(\d{1,10})\n$/.exec(text)?.[1];
  return new VmcError(
    'busy',
    `Another operation on ${name} is under way${pid === undefined ? '' : ` (process ${pid})`}.`,
    'Wait for it to end, then try again.',
  );
}
