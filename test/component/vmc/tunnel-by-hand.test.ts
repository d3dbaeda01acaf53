/** C5: the tunnel driven by openssl and curl, by the very commands that docs/protocol.md shows. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join, resolve } from 'node:path';
import t from 'tap';
import { sha256HexSchema } from '../../../shared/names.ts';
import { run } from '../../../shared/run.ts';
import { ANN, listening, PORTS, setUpTunnel } from './tunnel-fixture.ts';

/** Lines with commands under a heading, in their order. */
function commandsUnder(heading: string): string[] {
  const text = readFileSync(resolve(import.meta.dirname, '../../../docs/protocol.md'), 'utf8');
  const section = text.split(`### ${heading}\n`)[1]?.split(/^##/m)[0] ?? '';
  return [...section.matchAll(/^ {4}(\S.*)$/gm)].map(([, command = '']) => command);
}

t.test('C5 every command of "The tunnel by hand" does what the page says', async (t) => {
  const web = createServer((_request, answer) => answer.end('hello from the VM'));
  const webPort = await listening(t, web);
  const { port, tunnel, serverCertificateSha256 } = await setUpTunnel(t, { ports: [webPort] });
  const cwd = t.testdir({});
  const commands = commandsUnder('The tunnel by hand');
  t.equal(commands.length, 5);
  const [makeCertificate = '', saveServer = '', digest = '', byOpenssl = '', byCurl = ''] = commands;
  /** As a person's shell would. */
  const shell = (command: string) => {
    const line = command
      .replaceAll('HOST', '127.0.0.1')
      .replaceAll('PORT', String(port))
      .replaceAll('8080', String(webPort));
    return run({
      file: 'bash',
      args: ['-euo', 'pipefail', '-c', line],
      cwd,
      timeoutMs: 30_000,
      okExitCodes: [0, 1, 56, 60, 104], // 104: s_client was reset before it had sent all
    });
  };
  const ok = async (command: string) => {
    const { exitCode, stdout, stderr } = await shell(command);
    t.equal(exitCode, 0, command);
    return { stdout, stderr };
  };

  await ok(makeCertificate);
  t.match(
    (await shell(byOpenssl.replace('-CAfile server.pem -verify_return_error', ''))).stdout,
    /^$/,
    'not a byte without a grant',
  );
  const own = await ok('openssl x509 -in client.pem -outform der | sha256sum');
  await tunnel.open(sha256HexSchema.parse(own.stdout.slice(0, 64)), ANN, PORTS); // as connect does

  await ok(saveServer);
  t.match((await ok(digest)).stdout, serverCertificateSha256, 'it is the one that the channel told');
  t.equal(new X509Certificate(readFileSync(join(cwd, 'server.pem'))).subjectAltName, 'DNS:vmc');
  const answer = await ok(byOpenssl);
  t.match(answer.stdout, /^HTTP\/1\.1 200 Connected\r\n\r\nHTTP\/1\.1 200 OK\r\n[\s\S]*hello from the VM$/);
  t.match(answer.stderr, /verify return:1/, 'the certificate that was saved is the one that answers');
  t.equal((await ok(byCurl)).stdout, 'hello from the VM');

  t.match((await shell(byCurl.replace('8080', '1'))).stderr, /403/, 'a port that is not on the list');
  await ok('openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=vmc -keyout other.key -out other.pem');
  for (const command of [byOpenssl, byCurl])
    t.equal((await shell(command.replace('server.pem', 'other.pem'))).stdout, '', 'nothing from another server');
  t.equal((await shell(byCurl.replace('server.pem', 'other.pem'))).exitCode, 60, 'and curl says so');
  for (const command of [byOpenssl, byCurl])
    t.equal(
      (await shell(command.replaceAll('client.', 'other.'))).stdout,
      '',
      'nor with a certificate without a grant',
    );
});

t.test('C5 a plain ssh client, and one that speaks HTTP without TLS, get nothing', async (t) => {
  const { port } = await setUpTunnel(t);
  const ssh = await run({
    file: 'ssh',
    args: [
      ...['-F', 'none', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=20', '-o', 'StrictHostKeyChecking=no'],
      ...['-o', 'UserKnownHostsFile=/dev/null', '-p', String(port), 'nobody@127.0.0.1', 'true'],
    ],
    timeoutMs: 30_000,
    okExitCodes: [255],
  });
  t.match(ssh.stderr, /kex_exchange_identification|banner|closed|reset/i);
  const curl = await run({
    file: 'curl',
    args: ['-sS', '--max-time', '20', `http://127.0.0.1:${port}/`],
    timeoutMs: 30_000,
    okExitCodes: [1, 52, 56],
  });
  t.notMatch(curl.stdout, /HTTP|localhost/);
});
