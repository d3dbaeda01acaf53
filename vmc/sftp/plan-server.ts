/** What a person's rights let them do with files, and the sftp-server(8) that lets them do just that. Pure. */
import type { Right } from '../../shared/api/rights.ts';
import type { FullAccount } from '../accounts/make-account.ts';

export interface FileAccess {
  upload: boolean;
  download: boolean;
}

/** @returns undefined for somebody who may do nothing with files. */
export function fileAccess(rights: ReadonlySet<Right> | undefined): FileAccess | undefined {
  if (rights?.has('files') !== true) return undefined;
  const [upload, download] = [rights.has('upload'), rights.has('download')];
  return upload || download ? { upload, download } : undefined;
}

/** Requests of SFTP (`sftp-server -Q requests`) that change nothing and give no content. */
const LOOKING = [
  ...['open', 'close', 'lstat', 'fstat', 'opendir', 'readdir', 'realpath', 'stat', 'readlink', 'statvfs', 'fstatvfs'],
  ...['limits', 'expand-path', 'home-directory', 'users-groups-by-id'],
];
const CHANGING = [
  ...['write', 'setstat', 'fsetstat', 'lsetstat', 'remove', 'mkdir', 'rmdir', 'rename', 'posix-rename', 'symlink'],
  ...['hardlink', 'fsync'],
];

/** A list of what is allowed: a request that a later OpenSSH adds is refused until somebody has thought about it. */
export const allowedRequests = ({ upload, download }: FileAccess): string[] => [
  ...LOOKING,
  ...(download ? ['read'] : []),
  ...(upload ? CHANGING : []),
  ...(upload && download ? ['copy-data'] : []),
];

export const SFTP_SERVER = '/usr/lib/openssh/sftp-server';

export interface ServerCommand {
  file: string;
  args: string[];
  env: Record<string, string>;
  cwd: string;
}

/**
 * choom(1) takes back vmc's own protection from the OOM killer, setpriv(1) becomes the person: from then on the kernel
 * decides about every file. No bounding set is dropped, which would need CAP_SETPCAP: without uid 0, and with no new
 * privileges, there is nothing in it that can be had.
 * @param umask octal, e.g. 0007.
 */
export function serverCommand(account: FullAccount, access: FileAccess, umask: string): ServerCommand {
  const { name, uid, home, shell } = account;
  const server = [SFTP_SERVER, '-e', '-l', 'VERBOSE', '-u', umask, '-p', allowedRequests(access).join(',')];
  return {
    file: 'choom',
    args: [
      ...['-n', '0', '--', 'setpriv', '--reuid', `${uid}`, '--regid', `${uid}`, '--init-groups'],
      ...['--inh-caps=-all', '--ambient-caps=-all', '--no-new-privs', '--pdeathsig', 'KILL', '--'],
      ...server,
      ...(access.upload ? [] : ['-R']),
    ],
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', HOME: home, USER: name, LOGNAME: name, SHELL: shell },
    cwd: home,
  };
}
