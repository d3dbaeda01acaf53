/** OpenSSH as it is, to compare with: a server of the bench's own and the options of a client for it. */
import { once } from 'node:events';
import { access, mkdir, rmdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { startProcess } from '../lab/process.ts';
import { VmcError } from '../shared/errors.ts';
import { isErrno, makeFolder } from '../shared/files.ts';
import { run } from '../shared/run.ts';
import { fileIn, type Site } from './site.ts';

export const AES_256_GCM = 'aes256-gcm@openssh.com';

export interface Sshd {
  /** Its keys, configuration and log, and the key of the user that it lets in. */
  readonly folder: string;
  readonly port: number;
  /** Each connection is a child of it. */
  readonly pid: number;
  /** Undefined: whatever both prefer. */
  readonly cipher: string | undefined;
}

/** In a folder of its own, with keys of its own; it ends with the site. */
export async function startSshd(site: Site, { name, cipher }: { name: string; cipher?: string }): Promise<Sshd> {
  const folder = fileIn(site, name);
  await makeFolder(folder, 0o700);
  for (const key of ['host-key', 'user-key'])
    await run({
      file: 'ssh-keygen',
      args: ['-q', '-t', 'ed25519', '-N', '', '-C', 'bench', '-f', `${folder}/${key}`],
      timeoutMs: 10_000,
      signal: site.signal,
    });
  const port = await freePort();
  await writeFile(
    `${folder}/sshd_config`,
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${folder}/host-key`,
      `AuthorizedKeysFile ${folder}/user-key.pub`,
      `AllowUsers ${userInfo().username}`,
      'PermitRootLogin prohibit-password',
      'AuthenticationMethods publickey',
      'UsePAM no',
      'StrictModes no', // the bench's folder is under /var/tmp, which all may write in
      ...(cipher === undefined ? [] : [`Ciphers ${cipher}`]),
      'Compression no',
      'PidFile none',
      'UseDNS no',
      '',
    ].join('\n'),
    { mode: 0o600 },
  );
  await providePrivsepFolder(site);
  const daemon = await startProcess({
    lab: site.lab,
    name: `${name}-sshd`,
    argv: ['/usr/sbin/sshd', '-D', '-e', '-f', `${folder}/sshd_config`],
    logFile: `${folder}/sshd.log`,
  });
  site.undo.add(`${name}-sshd`, () => daemon.stop());
  await daemon.waitForLine(/Server listening/, 10_000);
  return { folder, port, pid: daemon.pid, cipher };
}

const PRIVSEP_FOLDER = '/run/sshd';

/** sshd shuts its unprivileged half into this empty folder; where it is no service nobody makes it. */
async function providePrivsepFolder(site: Site): Promise<void> {
  if (process.getuid?.() !== 0) return; // then it has no such half
  try {
    await mkdir(PRIVSEP_FOLDER, { mode: 0o755 });
    site.undo.add(PRIVSEP_FOLDER, () => rmdir(PRIVSEP_FOLDER));
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    await access(PRIVSEP_FOLDER);
  }
}

/** For programs that take no port 0. Should somebody else take this one meanwhile, they say so and the bench ends. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new VmcError('internal', 'no port');
  return address.port;
}

/** For ssh(1), in front of the host's name. Nothing of the user's own configuration, keys or known hosts is read or written. */
export function sshOptions({ folder, port, cipher }: Sshd): string[] {
  const options = [
    ...(cipher === undefined ? [] : [`Ciphers=${cipher}`]),
    'Compression=no',
    'BatchMode=yes',
    'StrictHostKeyChecking=no', // a host key made a second ago, on loopback
    'UserKnownHostsFile=/dev/null',
    'GlobalKnownHostsFile=/dev/null',
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    'LogLevel=ERROR',
  ];
  return [
    '-F',
    'none',
    '-T',
    '-i',
    `${folder}/user-key`,
    '-p',
    `${port}`,
    ...options.flatMap((option) => ['-o', option]),
  ];
}
