/** Which process listens on a TCP port: /proc/net says which socket, /proc/PID/fd says whose it is. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { readIfThere } from '../../shared/files.ts';
import { run } from '../../shared/run.ts';
import { listeningInodes, socketInode } from './parse-proc-net.ts';
import { parseSocketList } from './parse-socket-list.ts';

/** systemd holds vmc's port while vmc does not run, and beside it while it does. */
export const VMC_SOCKET = 'vmc.socket';

export interface PortOwner {
  pid: number;
  /** Its program, e.g. sshd. */
  name: string;
  /** It is a vmc daemon. */
  isVmc: boolean;
  /** systemd holds it for this socket unit, and nobody else does. */
  unit?: string;
}

/** @returns undefined when nobody that can be seen listens there. A service goes before systemd, which gave it its socket. */
export async function findPortOwner(port: number, proc = '/proc'): Promise<PortOwner | undefined> {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readIfThere(`${proc}/net/${name}`)));
  const inodes = new Set(tables.flatMap((table) => listeningInodes(table ?? '', port)));
  if (inodes.size === 0) return undefined;
  const pids = (await readdir(proc)).filter((name) => /^\d+$/.test(name)).map(Number);
  let owner: PortOwner | undefined;
  for (const pid of pids.sort((a, b) => b - a)) {
    if (!(await holdsOneOf(`${proc}/${pid}/fd`, inodes))) continue;
    const found = await describe(proc, pid);
    if (found.isVmc) return found;
    owner ??= found;
  }
  if (owner?.pid !== 1) return owner;
  const unit = await socketUnit(port);
  return unit === undefined ? owner : { ...owner, unit };
}

/** sshd (pid 7), or: systemd (pid 1) for ssh.socket. */
export function describeOwner({ name, pid, unit }: PortOwner): string {
  return `${name} (pid ${pid})${unit === undefined ? '' : ` for ${unit}`}`;
}

async function socketUnit(port: number): Promise<string | undefined> {
  const args = ['list-sockets', '--output=json', '--no-pager'];
  const { stdout } = await run({ file: 'systemctl', args, timeoutMs: 5_000 }).catch(() => ({ stdout: '[]' }));
  return parseSocketList(stdout, port);
}

async function describe(proc: string, pid: number): Promise<PortOwner> {
  const read = (file: string) => readFile(`${proc}/${pid}/${file}`, 'utf8').catch(() => '');
  const comm = (await read('comm')).trim();
  const [program, ...words] = (await read('cmdline')).split('\0');
  // Node calls its main thread MainThread: then the program's own name says more.
  const name = comm === 'MainThread' ? basename(program ?? comm) : comm;
  const [script = '', command] = words.filter((word) => !word.startsWith('-')); // Node's own options come first
  const isVmc = /\/vmc\/main\.(js|ts)$/.test(script) && command === 'daemon';
  return { pid, name: name === '' ? '?' : name, isVmc };
}

async function holdsOneOf(fdFolder: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const descriptors = await readdir(fdFolder).catch(() => []); // the process has ended, or it is not ours to see
  for (const descriptor of descriptors) {
    const inode = socketInode(await readlink(`${fdFolder}/${descriptor}`).catch(() => ''));
    if (inode !== undefined && inodes.has(inode)) return true;
  }
  return false;
}
