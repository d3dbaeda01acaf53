/**
 * One lock an object, shared by the daemon and by CLI processes: a file that names its holder by pid and start time.
 * A holder that is gone, or whose pid now belongs to another process, is recognised, and its lock broken.
 */
import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, watch } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { isErrno, makeFolder, readIfThere, writeOnce } from '../../shared/files.ts';

const holderSchema = z.strictObject({ pid: z.number().int(), start: z.string(), nonce: z.string() });

/** Start of process `pid` in clock ticks since boot (proc(5), field 22 of stat), or undefined when there is none. */
export async function processStart(pid: number): Promise<string | undefined> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ESRCH')) return undefined;
    throw error;
  }
  // The command's name, in brackets, may itself hold spaces and brackets.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

export class Locks {
  readonly #folder: string;
  readonly #waitMs: number;

  /** @param waitMs how long `hold` waits before it says `busy`. */
  constructor(folder: string, waitMs = 30_000) {
    this.#folder = folder;
    this.#waitMs = waitMs;
  }

  /** Runs `work` while holding every lock of `names` (ids of objects). @throws VmcError 'busy'. */
  async hold<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
    await makeFolder(this.#folder, 0o700);
    const held: string[] = [];
    try {
      // In one order everywhere, or two holders of one lock each would wait for the other's.
      for (const name of [...new Set(names)].sort()) held.push(await this.#take(name));
      return await work();
    } finally {
      for (const path of held) await rm(path, { force: true });
    }
  }

  /** True while someone alive holds it. */
  async isHeld(name: string): Promise<boolean> {
    const text = await readIfThere(this.#path(name));
    return text !== undefined && !(await isStale(text));
  }

  #path(name: string): string {
    return join(this.#folder, `${name}.lock`);
  }

  async #take(name: string): Promise<string> {
    const path = this.#path(name);
    const mine = JSON.stringify({
      pid: process.pid,
      start: (await processStart(process.pid)) ?? '',
      nonce: randomBytes(8).toString('hex'),
    });
    const deadline = performance.now() + this.#waitMs;
    while (!(await writeOnce(path, mine, 0o600))) {
      const text = await readIfThere(path);
      if (text === undefined) continue;
      if (await isStale(text)) {
        await breakLock(path, text);
        continue;
      }
      if (performance.now() >= deadline) throw busy(name, text);
      await changeOf(path, Math.min(deadline - performance.now(), 2000));
    }
    return path;
  }
}

async function isStale(text: string): Promise<boolean> {
  const holder = parseHolder(text);
  return holder === undefined || (await processStart(holder.pid)) !== holder.start;
}

function parseHolder(text: string): z.output<typeof holderSchema> | undefined {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return undefined; // such files are written whole or not at all: this one is none of ours
  }
}

/** Moves the stale lock away; puts it back if, since it was read, another process had broken it and taken its own. */
async function breakLock(path: string, staleText: string): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await rename(path, aside);
    if ((await readFile(aside, 'utf8')) !== staleText) await link(aside, path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT') && !isErrno(error, 'EEXIST')) throw error;
  } finally {
    await rm(aside, { force: true });
  }
}

function busy(name: string, text: string): VmcError {
  const pid = parseHolder(text)?.pid;
  return new VmcError(
    'busy',
    `Another operation on ${name} is under way${pid === undefined ? '' : ` (process ${pid})`}.`,
    'Wait for it to end, then try again.',
  );
}

/** Resolves when the file was changed or removed, or after `timeoutMs`: a missed event costs no more than that. */
async function changeOf(path: string, timeoutMs: number): Promise<void> {
  const signal = AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)));
  try {
    for await (const _event of watch(path, { signal })) return;
  } catch (error) {
    if (!isErrno(error, 'ENOENT') && !(error instanceof Error && error.name === 'AbortError')) throw error;
  }
}
