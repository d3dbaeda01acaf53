/** A command line for a person's shell that mounts a VM's files by sshfs(1). Pure. */
import type { SftpAccess } from '../../shared/api/tunnel.ts';
import { type SshPlace, sshOptions } from './ssh-options.ts';

/** For a POSIX shell. */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** Keywords of ssh_config that sshfs itself knows by its list; the others it hands to ssh all the same, as `-o`. */
export function sshfsLine(
  place: SshPlace,
  { user, upload, download }: SftpAccess,
  port: number,
  mount: string,
): string {
  // sshfs splits -o at commas; a comma within a value is written as \,
  const options = sshOptions(place).map((option) => option.replaceAll(',', '\\,'));
  const own = ['reconnect', ...(download && !upload ? ['ro'] : [])];
  const words = [
    ...['sshfs', '-F', '/dev/null', '-p', String(port)],
    ...[...own, ...options].flatMap((option) => ['-o', option]),
    `${user}@127.0.0.1:`,
    mount,
  ];
  return words.map(quoted).join(' ');
}
