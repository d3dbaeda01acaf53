/** A command line for a person's shell that mounts a VM's files by sshfs(1). Pure. */
import type { SftpAccess } from '../../shared/api/tunnel.ts';
import type { SshPlace } from './ssh-options.ts';

/** For a POSIX shell. */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

export function sshfsLine(
  { config }: SshPlace,
  { user, upload, download }: SftpAccess,
  port: number,
  mount: string,
): string {
  const options = ['reconnect', ...(download && !upload ? ['ro'] : [])];
  const words = ['sshfs', '-F', config, '-p', String(port), '-o', options.join(','), `${user}@127.0.0.1:`, mount];
  return words.map(quoted).join(' ');
}
