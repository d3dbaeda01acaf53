/** OpenSSH's server in a namespace: the SFTP server of snapshots, with a small disk of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { inNamespace } from '../../../../lab/namespaces.ts';
import { isErrno } from '../../../../shared/files.ts';
import { run } from '../../../../shared/run.ts';

const PORT = 2222;
const PRIVSEP = '/run/sshd';

export interface Sshd {
  /** For host-agent.toml. */
  readonly settings: string;
  /** Where it keeps files: a small tmpfs. */
  readonly folder: string;
  /** Public keys that are not the server's. */
  readonly otherHostKey: string;
  start(): Promise<void>;
  stop(): Promise<void>;
  remove(): Promise<void>;
}

const key = async (path: string) => {
  const args = ['-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', path];
  await run({ file: 'ssh-keygen', args, timeoutMs: 10_000 });
  return (await readFile(`${path}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ');
};

/** Made in the box's folder; not started yet. @param sizeMiB of what it keeps. */
export async function makeSshd(box: { folder: string; namespace: string }, sizeMiB = 24): Promise<Sshd> {
  const home = join(box.folder, 'sshd');
  const folder = join(home, 'files');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await run({ file: 'mount', args: ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', folder], timeoutMs: 10_000 });
  const hostKey = await key(join(home, 'host'));
  await key(join(home, 'user'));
  const otherHostKey = await key(join(home, 'other'));
  const lines = [
    `Port ${PORT}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${home}/host`,
    `AuthorizedKeysFile ${home}/user.pub`,
    'PermitRootLogin prohibit-password',
    'AuthenticationMethods publickey',
    'UsePAM no',
    'StrictModes no',
    'Subsystem sftp internal-sftp',
    'PidFile none',
  ];
  await writeFile(join(home, 'sshd_config'), `${lines.join('\n')}\n`);
  // sshd shuts its unprivileged half into this empty folder; where it is no service nobody makes it.
  const madePrivsep = await mkdir(PRIVSEP, { mode: 0o755 }).then(
    () => true,
    (error) => {
      if (isErrno(error, 'EEXIST')) return false;
      throw error;
    },
  );
  let child: ChildProcess | undefined;
  const stop = async () => {
    if (child === undefined) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
    child = undefined;
  };
  return {
    folder,
    otherHostKey,
    settings: `[snapshots.sftp]\nserver = "127.0.0.1"\nport = ${PORT}\nuser = "root"\nfolder = "${folder}"\nhostKey = "${hostKey}"\nkeyFile = "${home}/user"\n`,
    async start() {
      const [file, ...args] = inNamespace(box.namespace, '/usr/sbin/sshd', [
        '-D',
        '-e',
        '-f',
        join(home, 'sshd_config'),
      ]);
      const started = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      child = started;
      for await (const line of createInterface({ input: started.stderr })) if (/Server listening/.test(line)) break;
      started.stderr.resume();
    },
    stop,
    async remove() {
      await stop();
      await run({ file: 'umount', args: ['-l', folder], timeoutMs: 10_000 });
      if (madePrivsep) await rmdir(PRIVSEP).catch(() => {}); // another test may use it
    },
  };
}
