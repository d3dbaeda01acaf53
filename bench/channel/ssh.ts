/** The same bytes through OpenSSH, over loopback, with AES-256-GCM: `ssh … < file`, counted at the other end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { VmcError } from '../../shared/errors.ts';
import { AES_256_GCM, type Sshd, sshOptions, startSshd } from '../openssh.ts';
import { gbps, makePattern, messages, transferBytes } from '../pattern.ts';
import type { Site } from '../site.ts';
import type { Measurement } from '../suite.ts';
import { patternHash } from './line.ts';
import { mustMatch } from './transfer.ts';

export const ssh: Measurement = {
  name: 'ssh',
  async start(site) {
    const bytes = transferBytes(site.settings.seconds);
    const server = await startSshd(site, { name: 'ssh', cipher: AES_256_GCM });
    await writePattern(`${server.folder}/bytes`, bytes);
    const first = await feed(site, server, 'sha256sum');
    mustMatch('ssh', first.said.split(' ')[0], patternHash(bytes));
    return async () => {
      const { seconds, said } = await feed(site, server, 'wc -c');
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

/** @returns what `count` said at the other end, and the seconds from its start: the login is not counted. */
async function feed(site: Site, server: Sshd, count: string): Promise<{ seconds: number; said: string }> {
  site.signal.throwIfAborted();
  const bytes = await open(`${server.folder}/bytes`);
  const client = spawn('ssh', [...sshOptions(server), '127.0.0.1', `echo ready; exec ${count}`], {
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
