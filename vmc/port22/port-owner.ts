/** Which process listens on a TCP port: /proc/net says which socket, /proc/PID/fd says whose it is. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { readIfThere } from '../../shared/files.ts';
import { listeningInodes, socketInode } from './parse-proc-net.ts';

export interface PortOwner {
  pid: number;
  /** Its program, e.g. sshd. */
  name: string;
  /** It is a vmc daemon. */
  isVmc: boolean;
}

/** @returns undefined when nobody that can be seen listens there. */
export async function findPortOwner(port: number, proc = '/proc'): Promise<PortOwner | undefined> {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readIfThere(`${proc}/net/${name}`)));
  const inodes = new Set(tables.flatMap((table) => listeningInodes(table ?? '', port)));
  if (inodes.size === 0) return undefined;
  for (const pid of (await readdir(proc)).filter((name) => /^\d+$/.test(name)))
    if (await holdsOneOf(`${proc}/${pid}/fd`, inodes)) return describe(proc, Number(pid));
  return undefined;
}

async function describe(proc: string, pid: number): Promise<PortOwner> {
  const read = (file: string) => readFile(`${proc}/${pid}/${file}`, 'utf8').catch(() => '');
  const comm = (await read('comm')).trim();
  const words = (await read('cmdline')).split('\0');
  // Node calls its main thread MainThread: then the program's own name says more.
  const name = comm === 'MainThread' ? basename(words[0] ?? comm) : comm;
  const isVmc = /\/vmc\/main\.(js|ts)$/.test(words[1] ?? '') && words[2] === 'daemon';
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
