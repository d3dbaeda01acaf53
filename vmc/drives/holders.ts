/** Which processes hold a mounted file system, or the volume under it. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { mappingNode } from './mapping-node.ts';
import { mountsOf } from './mounts-of.ts';
import { mappingPath } from './names.ts';

export interface Holder {
  pid: number;
  name: string;
  /** How, when it is not by an open file, a working folder, its program or a mapped file. */
  how?: string;
}

const MOST = 20;

/** @returns at most 20, by pid. Processes that end meanwhile are left out. */
export const findHolders = (mountPoint: string, proc = '/proc'): Promise<Holder[]> =>
  findProcesses(async (folder) => ((await usesPath(folder, mountPoint)) ? {} : undefined), proc);

/** Who keeps a volume busy that is not mounted here: by a mount in another namespace (one process of each), or by its device. */
export async function findDeviceHolders(driveId: string): Promise<Holder[]> {
  const node = await mappingNode(driveId);
  const number = (await readFile(`/sys/class/block/${node}/dev`, 'utf8')).trim();
  const paths = [mappingPath(driveId), `/dev/${node}`];
  const seen = new Set([await readlink('/proc/self/ns/mnt')]);
  return findProcesses(async (folder) => {
    if ((await openFiles(folder)).some((path) => paths.includes(path))) return { how: 'has its device open' };
    const namespace = await readlink(`${folder}/ns/mnt`).catch(() => undefined);
    if (namespace === undefined || seen.has(namespace)) return undefined;
    seen.add(namespace);
    const mounts = await mountsOf(await readFile(`${folder}/mountinfo`, 'utf8').catch(() => ''), [number]);
    return mounts.length > 0 ? { how: 'has it mounted for itself' } : undefined;
  }, '/proc');
}

export const describeHolders = (holders: readonly Holder[]): string =>
  holders.length === 0
    ? 'something that cannot be seen from here'
    : holders.map(({ name, pid, how }) => `${name} (pid ${pid}${how === undefined ? '' : `, ${how}`})`).join(', ');

async function findProcesses(
  holds: (folder: string) => Promise<{ how?: string } | undefined>,
  proc: string,
): Promise<Holder[]> {
  const found: Holder[] = [];
  const pids = (await readdir(proc)).filter((name) => /^\d+$/.test(name)).sort((a, b) => Number(a) - Number(b));
  for (const pid of pids) {
    if (found.length >= MOST) break;
    const how = await holds(`${proc}/${pid}`);
    if (how === undefined) continue;
    const name = await readFile(`${proc}/${pid}/comm`, 'utf8').catch(() => '?');
    found.push({ pid: Number(pid), name: name.trim(), ...how });
  }
  return found;
}

async function usesPath(folder: string, mountPoint: string): Promise<boolean> {
  const inside = (path: string) => path === mountPoint || path.startsWith(`${mountPoint}/`);
  for (const name of ['cwd', 'root', 'exe']) if (inside(await linkOf(`${folder}/${name}`))) return true;
  if ((await openFiles(folder)).some(inside)) return true;
  const maps = await readFile(`${folder}/maps`, 'utf8').catch(() => '');
  return maps.split('\n').some((line) => inside(line.slice(line.indexOf('/'))));
}

const linkOf = (path: string) => readlink(path).catch(() => '');

async function openFiles(folder: string): Promise<string[]> {
  const names = await readdir(`${folder}/fd`).catch(() => []);
  return Promise.all(names.map((name) => linkOf(`${folder}/fd/${name}`)));
}
