/** Which processes hold a mounted file system: by an open file, a working folder, their program or a mapped file. */
import { readdir, readFile, readlink } from 'node:fs/promises';

export interface Holder {
  pid: number;
  name: string;
}

const MOST = 20;

/** @returns at most 20, by pid. Processes that end meanwhile are left out. */
export async function findHolders(mountPoint: string, proc = '/proc'): Promise<Holder[]> {
  const found: Holder[] = [];
  const pids = (await readdir(proc)).filter((name) => /^\d+$/.test(name)).sort((a, b) => Number(a) - Number(b));
  for (const pid of pids) {
    if (found.length >= MOST) break;
    if (!(await holds(`${proc}/${pid}`, mountPoint))) continue;
    const name = await readFile(`${proc}/${pid}/comm`, 'utf8').catch(() => '?');
    found.push({ pid: Number(pid), name: name.trim() });
  }
  return found;
}

export const describeHolders = (holders: readonly Holder[]): string =>
  holders.length === 0
    ? 'something that cannot be seen from here'
    : holders.map(({ name, pid }) => `${name} (pid ${pid})`).join(', ');

async function holds(folder: string, mountPoint: string): Promise<boolean> {
  const inside = (path: string) => path === mountPoint || path.startsWith(`${mountPoint}/`);
  const link = (name: string) => readlink(`${folder}/${name}`).catch(() => '');
  for (const name of ['cwd', 'root', 'exe']) if (inside(await link(name))) return true;
  for (const name of await readdir(`${folder}/fd`).catch(() => [])) if (inside(await link(`fd/${name}`))) return true;
  const maps = await readFile(`${folder}/maps`, 'utf8').catch(() => '');
  return maps.split('\n').some((line) => inside(line.slice(line.indexOf('/'))));
}
