/** vmc's tunnel server on loopback with one grant, and a TLS client for it. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { AddressInfo, Server, Socket } from 'node:net';
import { join } from 'node:path';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import type { Test } from 'tap';
import { type Certificate, certificateSha256, makeCertificate } from '../../../shared/net/certificate.ts';
import { TLS_OPTIONS } from '../../../shared/net/tls.ts';
import { claimPort } from '../../../vmc/port22/claim-port.ts';
import { type GrantEnd, Grants, type GrantUse } from '../../../vmc/tunnel/grants.ts';
import { type RightsNow, Tunnel } from '../../../vmc/tunnel/tunnel.ts';
import { TunnelServer } from '../../../vmc/tunnel/tunnel-server.ts';

export const ANN = 'SHA256:ann';
/** The rights of somebody who may use ports. */
export const PORTS: RightsNow = () => new Set(['ports']);
const portOf = (server: Server) => (server.address() as AddressInfo).port;

export async function listening(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return portOf(server);
}

export async function setUpTunnel(
  t: Test,
  options: {
    ports?: number[];
    lifetimeMs?: number;
    preAuthMs?: number;
    maxPreAuth?: number;
    maxStreams?: number;
    readyPerGrant?: number;
    readySeconds?: number;
    clock?: () => number;
    onService?: (service: Socket, port: number) => void;
  } = {},
) {
  const ports = (options.ports ?? []).map((port) => ({ from: port, to: port }));
  const ready = { readyPerGrant: options.readyPerGrant ?? 4, readySeconds: options.readySeconds ?? 60 };
  const lifetimeMs = options.lifetimeMs ?? 60_000;
  const ended: { why: GrantEnd; use: GrantUse }[] = [];
  const grants = new Grants(
    {
      ...ready,
      lifetimeMs,
      maxGrantsPerPerson: 2,
      maxStreamsPerGrant: options.maxStreams ?? 3,
      maxStreamsPerPerson: 5,
    },
    options.clock ?? Date.now,
    (_grant, use, why) => ended.push({ why, use }),
  );
  const refused: string[] = [];
  /** What a known person's grant did not allow. */
  const denied: string[] = [];
  const server = new TunnelServer({
    grants,
    readySeconds: ready.readySeconds,
    maxPreAuth: options.maxPreAuth ?? 8,
    maxPreAuthPerAddress: 8,
    ...(options.preAuthMs === undefined ? {} : { preAuthMs: options.preAuthMs }),
    ...(options.onService === undefined ? {} : { onService: options.onService }),
    onRefused: (reason, target, person) => {
      refused.push(reason);
      if (person !== undefined) denied.push(`${person} ${reason} ${target}`);
    },
  });
  await claimPort(server.tcp, 0);
  t.teardown(() => server.close());
  const port = portOf(server.tcp);
  const tunnel = new Tunnel({ ...ready, grants, server, ports, now: () => new Date() });
  const device = makeCertificate('device', 'clientAuth', 1, new Date());
  const sha = certificateSha256(device.certificatePem);
  const dir = t.testdir();
  const files = (it: Certificate, name: string) => {
    const cert = join(dir, `${name}.pem`);
    const key = join(dir, `${name}.key`);
    writeFileSync(cert, it.certificatePem);
    writeFileSync(key, it.privateKeyPem);
    return { cert, key };
  };
  const { serverCertificateSha256 } = await tunnel.open(sha, ANN, PORTS);
  const tls = async (certificate: Certificate | undefined, more: object = {}) => {
    const socket = tlsConnect({
      host: '127.0.0.1',
      port,
      ...TLS_OPTIONS,
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
      allowHalfOpen: true,
      ...(certificate === undefined ? {} : { cert: certificate.certificatePem, key: certificate.privateKeyPem }),
      ...more,
    } as ConnectionOptions);
    socket.on('error', () => {});
    await Promise.race([once(socket, 'secureConnect'), once(socket, 'close')]);
    return socket;
  };
  return { grants, ended, denied, server, port, tunnel, device, sha, files, refused, serverCertificateSha256, tls };
}

/** Sends a CONNECT and gives the head of the answer; what follows stays in the socket. */
export async function connectThrough(socket: TLSSocket, target: string): Promise<string> {
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => {});
  for (const event of ['end', 'close']) socket.once(event, () => ended.reject(new Error('closed')));
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  let head = '';
  while (!head.includes('\r\n\r\n')) {
    if (socket.destroyed) throw new Error('closed');
    const byte: Buffer | null = socket.read(1);
    if (byte !== null) head += byte.toString('latin1');
    else await Promise.race([once(socket, 'readable'), ended.promise]);
  }
  return head;
}

export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
