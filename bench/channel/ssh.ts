/** The same bytes through OpenSSH, over loopback, with AES-256-GCM: `ssh … < file`, counted at the other end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, open, rmdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { startProcess } from '../../lab/process.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno, makeFolder } from '../../shared/files.ts';
import { run } from '../../shared/run.ts';
import { fileIn, type Site } from '../site.ts';
import type { Measurement } from '../suite.ts';
import { patternHash } from './line.ts';
import { gbps, makePattern, messages, transferBytes } from './pattern.ts';
import { mustMatch } from './transfer.ts';

const CIPHER = 'aes256-gcm@openssh.com';

export const ssh: Measurement = {
  name: 'ssh',
  async start(site) {
    const bytes = transferBytes(site.settings.seconds);
    const folder = fileIn(site, 'ssh');
    await makeFolder(folder, 0o700);
    await writePattern(`${folder}/bytes`, bytes);
    const port = await startServer(site, folder);
    const first = await feed(site, folder, port, 'sha256sum');
    mustMatch('ssh', first.said.split(' ')[0], patternHash(bytes));
    return async () => {
      const { seconds, said } = await feed(site, folder, port, 'wc -c');
      if (Number(said) !== bytes) throw new VmcError('bad-data', `ssh: ${said.trim()} bytes came instead of ${bytes}`);
      return { sshGbps: gbps(bytes, seconds) };
    };
  },
};

/** Once written it stays in the page cache, so that ssh reads it as fast as it likes. */
async function writePattern(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    for (const message of messages(makePattern(), bytes)) await file.write(message);
  } finally {
    await file.close();
  }
}

async function startServer(site: Site, folder: string): Promise<number> {
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
      `Ciphers ${CIPHER}`,
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
    name: 'sshd',
    argv: ['/usr/sbin/sshd', '-D', '-e', '-f', `${folder}/sshd_config`],
    logFile: `${folder}/sshd.log`,
  });
  site.undo.add('sshd', () => daemon.stop());
  await daemon.waitForLine(/Server listening/, 10_000);
  return port;
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

/** OpenSSH takes no port 0. Should somebody else take this one meanwhile, sshd says so and the bench ends. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new VmcError('internal', 'no port');
  return address.port;
}

/** @returns what `count` said at the other end, and the seconds from its start: the login is not counted. */
async function feed(
  site: Site,
  folder: string,
  port: number,
  count: string,
): Promise<{ seconds: number; said: string }> {
  site.signal.throwIfAborted();
  const bytes = await open(`${folder}/bytes`);
  const client = spawn('ssh', [...clientOptions(folder), '-p', `${port}`, '127.0.0.1', `echo ready; exec ${count}`], {
    stdio: [bytes.fd, 'pipe', 'pipe'],
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    detached: true,
  });
  const closed = once(client, 'close') as Promise<[number | null]>;
  closed.catch(() => undefined); // 'error': awaited below
  const stop = () => void client.kill('SIGTERM');
  site.signal.addEventListener('abort', stop, { once: true });
  try {
    const pid = client.pid;
    if (pid !== undefined) await site.lab.addProcess(pid);
    let started: number | undefined;
    let said = '';
    let complaint = '';
    client.stdout?.setEncoding('utf8').on('data', (text: string) => {
      started ??= performance.now();
      said += text;
    });
    client.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-600);
    });
    const [code] = await closed;
    const ended = performance.now();
    if (pid !== undefined) await site.lab.forgetProcess(pid);
    site.signal.throwIfAborted();
    if (code !== 0 || started === undefined || !said.startsWith('ready\n'))
      throw new VmcError('command-failed', `ssh ended with ${code}: ${complaint.trim()}`);
    return { seconds: (ended - started) / 1000, said: said.slice('ready\n'.length) };
  } finally {
    site.signal.removeEventListener('abort', stop);
    await bytes.close();
  }
}

/** Nothing of the user's own configuration, keys or known hosts is read or written. */
function clientOptions(folder: string): string[] {
  const options = [
    `Ciphers=${CIPHER}`,
    'Compression=no',
    'BatchMode=yes',
    'StrictHostKeyChecking=no', // a host key made a second ago, on loopback
    'UserKnownHostsFile=/dev/null',
    'GlobalKnownHostsFile=/dev/null',
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    'LogLevel=ERROR',
  ];
  return ['-F', 'none', '-T', '-i', `${folder}/user-key`, ...options.flatMap((option) => ['-o', option])];
}
