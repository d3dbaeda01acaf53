/**
 * OpenSSH's sftp on a person's device, through the whole path, with a batch of commands: past `connect`, which has no answer
 * to a wrong key or right. Reads {url, pin, folder, passphrase, vmId, batch} on stdin; prints {code, stderr, access}.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import * as z from 'zod';
import { openStream } from '../../../connect/tunnel/open-stream.ts';
import { controlMethods } from '../../../shared/api/index.ts';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import { utf8 } from '../../../shared/bytes.ts';
import { openChannel } from '../../../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { VmcError } from '../../../shared/errors.ts';
import { unsealIdentity } from '../../../shared/identity/sealed.ts';
import { certificateSha256, makeCertificate } from '../../../shared/net/certificate.ts';
import { join as joinStreams } from '../../../shared/net/join.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { RpcPeer } from '../../../shared/rpc/peer.ts';
import { parseJson } from '../../../shared/validate.ts';
import { openSshPrivateKey } from '../../../vmc/sftp/openssh-private-key.ts';

const requestSchema = z.object({
  url: z.string(),
  pin: z.string(),
  folder: z.string(),
  passphrase: z.string(),
  vmId: z.string(),
  batch: z.array(z.string()),
});
export type SftpRequest = z.input<typeof requestSchema>;

export interface SftpAnswer {
  /** Of sftp; undefined when the VM gave no access to SFTP. */
  code?: number | null;
  stderr?: string;
  access: unknown;
}

const request = parseJson(requestSchema, await text(process.stdin), 'stdin');
const identity = await unsealIdentity(
  await readFile(join(request.folder, 'identity.json'), 'utf8'),
  utf8(request.passphrase),
);
const client = new BackendClient({ url: request.url, pin: request.pin });
const scratch = await mkdtemp(join(tmpdir(), 'vmc-sftp-'));
try {
  await client.signIn(identity);
  process.stdout.write(JSON.stringify(await transfer()));
} finally {
  await client.signOut().catch(() => {});
  client.close();
  await rm(scratch, { recursive: true, force: true });
}

async function transfer(): Promise<SftpAnswer> {
  const { vmId, batch } = request;
  const { identity: vm } = await client.call(routes.vmGet, { params: { vmId }, body: {} });
  if (vm === undefined) throw new VmcError('wrong-state', 'The VM has not enrolled.');
  const transport = webSocketTransport(await client.openRelayToVm(vmId));
  const rpc = new RpcPeer(await openChannel(transport, { identity, peer: vm.ed25519, purpose: 'control' }));
  const certificate = makeCertificate('device', 'clientAuth', 1, new Date());
  const grant = { certificateSha256: certificateSha256(certificate.certificatePem) };
  const { sftp: access, serverCertificateSha256 } = await rpc.call(controlMethods.tunnelOpen, grant);
  if (access === undefined) return { access };
  const { port } = await client.call(routes.endpointOpen, { params: { vmId }, body: {} });
  const path = { host: new URL(request.url).hostname, port, certificate, serverCertificateSha256 };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => {});
    openStream(path, access.port, new AbortController().signal).then(
      (wire) => joinStreams(wire, { stream: socket, cut: () => void socket.resetAndDestroy() }),
      () => socket.destroy(),
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const local = (server.address() as AddressInfo).port;
  const [key, knownHosts] = [join(scratch, 'key'), join(scratch, 'known_hosts')];
  const pair = { seed: identity.secret.ed25519, key: identity.public.ed25519 };
  await writeFile(key, openSshPrivateKey(pair, new Uint8Array(4), 'test'), { mode: 0o600 });
  await writeFile(knownHosts, `[127.0.0.1]:${local} ${access.hostKey}\n`);
  const options = [
    'StrictHostKeyChecking=yes',
    `UserKnownHostsFile=${knownHosts}`,
    'IdentitiesOnly=yes',
    'BatchMode=yes',
  ];
  const words = ['-F', 'none', '-q', ...options.flatMap((option) => ['-o', option]), '-i', key, '-P', `${local}`];
  const child = spawn('sftp', [...words, '-b', '-', `${access.user}@127.0.0.1`], { stdio: ['pipe', 'ignore', 'pipe'] });
  child.stdin.on('error', () => {}).end(`${batch.join('\n')}\n`);
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [code, stderr] = await Promise.all([closed, text(child.stderr)]);
  server.close();
  await rpc.call(controlMethods.tunnelClose, grant);
  await rpc.close();
  return { code, stderr, access };
}
