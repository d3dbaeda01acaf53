/**
 * The listening socket that systemd gives vmc (vmc.socket), so that who connects while vmc restarts waits instead of being
 * refused: sd_listen_fds(3).
 */
import { readFile, readlink } from 'node:fs/promises';
import { VmcError } from '../../shared/errors.ts';
import { listeningInodes, socketInode } from './parse-proc-net.ts';

/** SD_LISTEN_FDS_START: given descriptors begin here. Node has set close-on-exec on it before anything of ours ran. */
export const GIVEN_FD = 3;

/** LISTEN_*: to be removed from the environment, so that no child takes them for its own. */
export const LISTEN_VARIABLES = ['LISTEN_PID', 'LISTEN_PIDFDID', 'LISTEN_FDS', 'LISTEN_FDNAMES'] as const;

type ListenEnvironment = Readonly<Partial<Record<(typeof LISTEN_VARIABLES)[number], string | undefined>>>;

/** @returns how many sockets were given to this very process. @throws VmcError 'bad-config' for what systemd never says. */
export function countGiven({ LISTEN_PID, LISTEN_FDS }: ListenEnvironment, pid: number): number {
  if (LISTEN_PID === undefined || LISTEN_FDS === undefined || LISTEN_PID !== String(pid)) return 0;
  if (!/^\d{1,4}$/.test(LISTEN_FDS))
    throw new VmcError('bad-config', `LISTEN_FDS is ${JSON.stringify(LISTEN_FDS)}, which is no number.`);
  return Number(LISTEN_FDS);
}

/** @throws VmcError 'bad-config' unless the one socket given listens on this TCP port. */
export async function checkGiven(count: number, port: number, proc = '/proc/self'): Promise<void> {
  const wrong = (found: string) =>
    new VmcError(
      'bad-config',
      `systemd gives vmc ${found}, but vmc needs one TCP socket that listens on port ${port} (tunnel.port in vmc.toml).`,
      'Make ListenStream= of vmc.socket and tunnel.port the same: systemctl edit vmc.socket',
    );
  if (count !== 1) throw wrong(`${count} sockets`);
  const inode = socketInode(await readlink(`${proc}/fd/${GIVEN_FD}`).catch(() => ''));
  if (inode === undefined) throw wrong('something that is no socket');
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`${proc}/net/${name}`, 'utf8').catch(() => '')),
  );
  if (!tables.some((table) => listeningInodes(table, port).includes(inode))) throw wrong('another socket');
}
