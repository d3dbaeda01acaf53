/** A fake of vmc's SFTP: ssh2 lets one key in, and OpenSSH's real sftp-server works as the user who runs the test. */
import { spawn } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import ssh2 from 'ssh2';
import type { Test } from 'tap';
import type { SftpAccess } from '../../../shared/api/tunnel.ts';
import { equalBytes } from '../../../shared/bytes.ts';

export interface FakeSftp {
  access: SftpAccess;
  /** The key that may come in, as SSH writes it; set by the test. */
  allowed: Uint8Array | undefined;
  attempts: { user: string; signed: boolean }[];
}

export async function startFakeSftp(t: Test): Promise<FakeSftp> {
  const keys = ssh2.utils.generateKeyPairSync('ed25519');
  const fake: FakeSftp = {
    access: {
      port: 0,
      user: 'owner',
      hostKey: keys.public.trim().split(' ').slice(0, 2).join(' '),
      upload: true,
      download: true,
    },
    allowed: undefined,
    attempts: [],
  };
  const clients = new Set<ssh2.Connection>();
  const server = new ssh2.Server({ hostKeys: [keys.private] }, (client) => {
    clients.add(client);
    client.on('error', () => {}).on('close', () => clients.delete(client));
    client.on('authentication', (context) => {
      if (context.method !== 'publickey') return context.reject(['publickey']);
      fake.attempts.push({ user: context.username, signed: context.signature !== undefined });
      const key = ssh2.utils.parseKey(context.key.data);
      if (key instanceof Error || fake.allowed === undefined || !equalBytes(context.key.data, fake.allowed))
        return context.reject();
      if (context.signature === undefined) return context.accept();
      if (context.blob !== undefined && key.verify(context.blob, context.signature) === true) context.accept();
      else context.reject();
    });
    client.on('session', (accept) => {
      const session = accept();
      session.on('subsystem', (acceptSubsystem, reject, { name }) => {
        if (name !== 'sftp') return reject();
        const channel = acceptSubsystem();
        const child = spawn('/usr/lib/openssh/sftp-server', [], { stdio: ['pipe', 'pipe', 'ignore'] });
        channel.pipe(child.stdin);
        child.stdout.pipe(channel);
        child.once('close', (code) => {
          channel.exit(code ?? 1);
          channel.end();
        });
        channel.once('close', () => child.kill());
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  fake.access.port = (server.address() as AddressInfo).port;
  t.teardown(() => {
    for (const client of clients) client.end();
    server.close();
  });
  return fake;
}
