/**
 * What a run makes on this machine is written down before it is made, so that the next run can remove what a crashed one
 * left. A process is known by its pid and its start time: a pid that the kernel gave to someone else is never touched.
 */
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { VmcError } from '../shared/errors.ts';
import { isErrno, makeFolder, readIfThere, writeAtomic } from '../shared/files.ts';
import { run } from '../shared/run.ts';
import { unmountBelow } from './small-filesystem.ts';

const LabProcessId = z.object({ pid: z.int().min(2), startTime: z.string().regex(/^\d+$/) });
export type ProcessId = z.infer<typeof LabProcessId>;

const LAB_ID = /^[a-z0-9]{4,12}$/;
const State = z.object({
  id: z.string().regex(LAB_ID),
  /** The process whose run this is. While it lives, this is no leftover, unless it is kept. */
  owner: LabProcessId,
  /** Left running on purpose, until somebody cleans up or the next run begins. */
  kept: z.boolean().default(false),
  processes: z.array(LabProcessId),
  namespaces: z.array(z.string().regex(/^vmc-[a-z0-9]{4,12}-[a-z]+$/)),
});
type State = z.infer<typeof State>;

const DEFAULT_PARENT = '/var/tmp';
const FOLDER = /^vmc-lab-([a-z0-9]{4,12})$/;

/** Field 22 of /proc/PID/stat, in clock ticks since boot; undefined when there is no such process. See proc(5). */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in brackets, which may itself hold spaces and brackets.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ESRCH')) return undefined;
    throw error;
  }
}

const isAlive = async ({ pid, startTime }: ProcessId): Promise<boolean> => (await startTimeOf(pid)) === startTime;

/** One run's folder and its record. */
export class Lab {
  readonly id: string;
  readonly folder: string;
  readonly #state: State;
  #written: Promise<void> = Promise.resolve();

  constructor(folder: string, state: State) {
    this.id = state.id;
    this.folder = folder;
    this.#state = state;
  }

  /** Must be called before the namespace is made. */
  async addNamespace(name: string): Promise<void> {
    this.#state.namespaces.push(name);
    await this.#write();
  }

  async forgetNamespace(name: string): Promise<void> {
    this.#state.namespaces = this.#state.namespaces.filter((other) => other !== name);
    await this.#write();
  }

  /** Must be called as soon as the process has started. A process that has ended already is not recorded. */
  async addProcess(pid: number): Promise<void> {
    const startTime = await startTimeOf(pid);
    if (startTime === undefined) return;
    this.#state.processes.push({ pid, startTime });
    await this.#write();
  }

  async forgetProcess(pid: number): Promise<void> {
    this.#state.processes = this.#state.processes.filter((other) => other.pid !== pid);
    try {
      await this.#write();
    } catch (error) {
      // Kept, and then removed by the next one, who ended this process too: there is nothing left to write in.
      if (!(this.#state.kept && isErrno(error, 'ENOENT'))) throw error;
    }
  }

  /** From here on it is the next one's to remove, also while this process goes on. */
  async keep(): Promise<void> {
    this.#state.kept = true;
    await this.#write();
  }

  /** Ends and removes all that is still recorded, then the folder. Doing it twice is fine. */
  async remove(): Promise<void> {
    await this.#written;
    await removeRecorded(this.#state);
    await unmountBelow(this.folder);
    await rm(this.folder, { recursive: true, force: true });
  }

  #write(): Promise<void> {
    const text = `${JSON.stringify(this.#state)}\n`;
    const written = this.#written.then(() => writeAtomic(join(this.folder, 'state.json'), text, 0o600));
    this.#written = written.catch(() => {}); // who asked for this write hears of it, and nobody else
    return written;
  }
}

/** Makes `<parent>/vmc-lab-<id>` (0700) for this process's run. */
export async function openLab(options: { id?: string; parent?: string } = {}): Promise<Lab> {
  const id = options.id ?? randomBytes(3).toString('hex');
  if (!LAB_ID.test(id))
    throw new VmcError('bad-request', `${JSON.stringify(id)} is not a lab's id`, 'Use 4 to 12 letters and digits.');
  const startTime = await startTimeOf(process.pid);
  if (startTime === undefined) throw new VmcError('internal', 'This process is not in /proc');
  const folder = join(options.parent ?? DEFAULT_PARENT, `vmc-lab-${id}`);
  const state: State = { id, owner: { pid: process.pid, startTime }, kept: false, processes: [], namespaces: [] };
  await makeFolder(folder, 0o700);
  await writeAtomic(join(folder, 'state.json'), `${JSON.stringify(state)}\n`, 0o600);
  return new Lab(folder, state);
}

/** Removes what is kept, and what runs whose process is gone have left. @returns their ids. */
export async function removeLeftovers(parent = DEFAULT_PARENT): Promise<string[]> {
  const removed: string[] = [];
  for (const name of (await readdir(parent)).sort()) {
    const id = FOLDER.exec(name)?.[1];
    if (id === undefined) continue;
    const folder = join(parent, name);
    const text = await readIfThere(join(folder, 'state.json'));
    const state = State.safeParse(parseJson(text));
    // A folder without a record of ours is not ours to remove.
    if (!state.success || state.data.id !== id) continue;
    if (!state.data.kept && (await isAlive(state.data.owner))) continue;
    await removeRecorded(state.data);
    await unmountBelow(folder);
    await rm(folder, { recursive: true, force: true });
    removed.push(id);
  }
  return removed;
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}

async function removeRecorded(state: State): Promise<void> {
  for (const process of state.processes.reverse()) await endProcess(process, 5000);
  for (const name of state.namespaces.reverse()) await removeNamespace(name);
}

/** SIGTERM to the process's group, SIGKILL when it is still there after `graceMs`. */
export async function endProcess(id: ProcessId, graceMs: number): Promise<void> {
  for (const [signal, waitMs] of [
    ['SIGTERM', graceMs],
    ['SIGKILL', 5000],
  ] as const) {
    if (!(await isAlive(id))) return;
    signalProcess(id.pid, signal);
    if (await goneWithin(id, waitMs)) return;
  }
  throw new VmcError('timeout', `Process ${id.pid} does not end`);
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, signal);
      return;
    } catch (error) {
      if (!isErrno(error, 'ESRCH')) throw error; // it leads no group, or has just ended
    }
  }
}

// The kernel tells only a parent when a process ends; for others there is no event to wait for.
async function goneWithin(id: ProcessId, ms: number): Promise<boolean> {
  const deadline = performance.now() + ms;
  while (await isAlive(id)) {
    if (performance.now() > deadline) return false;
    await delay(20);
  }
  return true;
}

/** Processes inside a namespace: they are of whoever made the namespace, whatever started them. */
export async function processesIn(namespace: string): Promise<ProcessId[]> {
  const { stdout } = await run({
    file: 'ip',
    args: ['netns', 'pids', namespace],
    okExitCodes: [0, 1, 255],
    timeoutMs: 10_000,
  });
  const found: ProcessId[] = [];
  for (const word of stdout.split(/\s+/).filter((text) => /^\d+$/.test(text))) {
    const startTime = await startTimeOf(Number(word));
    if (startTime !== undefined) found.push({ pid: Number(word), startTime });
  }
  return found;
}

/** Ends what runs in it and removes it with its interfaces. A namespace that is not there is fine. */
export async function removeNamespace(name: string): Promise<void> {
  const { stdout } = await run({ file: 'ip', args: ['-json', 'netns', 'list'], timeoutMs: 10_000 });
  const known = z.array(z.object({ name: z.string() })).parse(JSON.parse(stdout.trim() === '' ? '[]' : stdout));
  if (!known.some((entry) => entry.name === name)) return;
  await Promise.all((await processesIn(name)).map((id) => endProcess(id, 3000)));
  await run({ file: 'ip', args: ['netns', 'delete', name], timeoutMs: 10_000 });
}
