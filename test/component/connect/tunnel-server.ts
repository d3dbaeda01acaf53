/** The controller's own tunnel server on loopback, and a plain TLS server that answers what a test wants. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import type { TunnelPath } from '../../../connect/tunnel/open-stream.ts';
import { certificateSha256, makeCertificate } from '../../../shared/net/certificate.ts';
import { TLS_OPTIONS } from '../../../shared/net/tls.ts';
import { Grants } from '../../../vmc/tunnel/grants.ts';
import { TunnelServer } from '../../../vmc/tunnel/tunnel-server.ts';

export const now = new Date();
export const clientCertificate = makeCertificate('device', 'clientAuth', 1, now);
const serverCertificate = makeCertificate('vm', 'serverAuth', 1, now);

export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** A service that says back what it hears. @returns its port. */
export async function startEcho(t: Test): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return listen(server);
}

function pathTo(port: number): TunnelPath {
  return {
    host: '127.0.0.1',
    port,
    certificate: clientCertificate,
    serverCertificateSha256: certificateSha256(serverCertificate.certificatePem),
  };
}

/** The real one: vmc's. */
export async function startVmTunnel(t: Pick<Test, 'teardown'>, ports: { from: number; to: number }[]) {
  const limits = {
    lifetimeMs: 60_000,
    maxGrantsPerPerson: 4,
    maxStreamsPerGrant: 64,
    maxStreamsPerPerson: 256,
    readyPerGrant: 8,
  };
  const grants = new Grants(limits, Date.now);
  const refused: string[] = [];
  const server = new TunnelServer({
    grants,
    readySeconds: 60,
    maxPreAuth: 64,
    maxPreAuthPerAddress: 64,
    onRefused: (reason) => refused.push(reason),
  });
  server.useCertificate(serverCertificate);
  grants.open(certificateSha256(clientCertificate.certificatePem), 'SHA256:owner', ports);
  const path = pathTo(await listen(server.tcp));
  t.teardown(() => server.close());
  return { path, grants, refused };
}

/** @param serve gets each connection once TLS is up. */
export async function startTls(t: Pick<Test, 'teardown'>, serve: (socket: TLSSocket) => void): Promise<TunnelPath> {
  const sockets = new Set<Socket>();
  const server = createTlsServer(
    {
      ...TLS_OPTIONS,
      cert: serverCertificate.certificatePem,
      key: serverCertificate.privateKeyPem,
      requestCert: true,
      rejectUnauthorized: false,
      allowHalfOpen: true,
    },
    (socket) => {
      socket.on('error', () => {});
      serve(socket);
    },
  );
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  const path = pathTo(await listen(server));
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return path;
}
