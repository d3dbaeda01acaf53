/** What a figure is worth depends on the machine it is from. */
import { readdir, readFile } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { VmcError } from '../shared/errors.ts';
import { isErrno } from '../shared/files.ts';
import { parseCpuList } from './statistics.ts';

export interface Machine {
  cpu: string;
  /** That this process may use. */
  cores: number;
  memoryBytes: number;
  kernel: string;
  node: string;
  openssl: string;
  /** Runnable processes, mean of the last minute: above 0 before the start means that others disturb. */
  loadAtStart: number;
}

/** The cores that this process may run on. */
export async function ownCores(): Promise<number[]> {
  const status = await readFile('/proc/self/status', 'utf8');
  return parseCpuList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '');
}

export async function lookAtMachine(): Promise<Machine> {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: (await ownCores()).length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.versions.node,
    openssl: process.versions.openssl,
    loadAtStart: loadavg()[0] ?? 0,
  };
}

/** Bytes of a process that are in memory, as /proc/PID/smaps_rollup counts them (proc(5)). */
export async function residentBytes(pid: number): Promise<{ rss: number; pss: number }> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = (name: string): number => {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
    if (found === undefined) throw new VmcError('internal', `smaps_rollup has no ${name}`);
    return Number(found) * 1024;
  };
  return { rss: kib('Rss'), pss: kib('Pss') };
}

const TICKS_PER_SECOND = 100; // USER_HZ, the same on every Linux there is

/** CPU seconds that a process has used, all threads. Fields 14 and 15 of /proc/PID/stat. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/**
 * The same for threads that are alive, to the nanosecond: /proc/PID/task/TID/schedstat, first field ("time spent on the
 * cpu", sched-stats). Take the difference while no thread of interest ends.
 */
export async function threadCpuSeconds(pid: number): Promise<number> {
  let nanoseconds = 0;
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const text = await readIfAlive(`/proc/${pid}/task/${thread}/schedstat`);
    nanoseconds += Number(text.split(' ')[0]);
  }
  return nanoseconds / 1e9;
}

/** Children of a process, theirs too; without itself. /proc/PID/task/TID/children, proc(5). */
export async function descendantsOf(pid: number): Promise<number[]> {
  const found: number[] = [];
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const text = await readIfAlive(`/proc/${pid}/task/${thread}/children`);
    for (const child of text.split(' ').filter((word) => word !== '')) {
      found.push(Number(child), ...(await descendantsOf(Number(child))));
    }
  }
  return found;
}

async function readIfAlive(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ESRCH')) return '';
    throw error;
  }
}
