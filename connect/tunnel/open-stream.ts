/** One stream through the tunnel: TCP to the endpoint, TLS 1.3 with both certificates pinned, CONNECT, then raw bytes. */

import { timingSafeEqual } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { type ErrorCode, errorMessage, VmcError } from '../../shared/errors.ts';
import { type Certificate, certificateSha256 } from '../../shared/net/certificate.ts';
import { TLS_OPTIONS } from '../../shared/net/tls.ts';
import { parseConnectAnswer } from './connect-answer.ts';

export interface TunnelPath {
  /** The endpoint at the backend. */
  host: string;
  port: number;
  /** The device's own certificate, which the VM was told over the channel. */
  certificate: Certificate;
  /** The VM's, which it told over the channel. */
  serverCertificateSha256: string;
}

export interface TunnelStream {
  stream: Duplex;
  /** Ends it with a TCP reset: the other side sees a cut, not an end. */
  cut(): void;
}

/** The VM itself answered, and said no: trying again by another path would not help. */
export class StreamRefused extends VmcError {
  readonly status: number;

  constructor(vmPort: number, status: number, reason: string) {
    const code: ErrorCode =
      status === 403 ? 'forbidden' : status === 429 ? 'limit' : status === 502 ? 'unreachable' : 'bad-data';
    super(code, `The VM refused a connection to its port ${vmPort} (${status}): ${reason}`);
    this.name = 'StreamRefused';
    this.status = status;
  }
}

const DEADLINE_MS = 20_000;

/**
 * Half-open is allowed: each direction ends by itself.
 * @throws StreamRefused when the VM says no; VmcError 'identity-changed' before a byte was sent, 'unreachable',
 * 'channel-closed' (the VM does not know this device's certificate, or no longer), 'timeout'.
 */
export function openStream(path: TunnelPath, vmPort: number, signal: AbortSignal): Promise<TunnelStream> {
  const { promise, resolve, reject } = Promise.withResolvers<TunnelStream>();
  const tcp = connectTcp({ host: path.host, port: path.port, allowHalfOpen: true, noDelay: true });
  const socket = connectTls({
    ...TLS_OPTIONS,
    socket: tcp,
    cert: path.certificate.certificatePem,
    key: path.certificate.privateKeyPem,
    ALPNProtocols: ['http/1.1'],
    // The pin replaces the certificate authorities; it is checked below.
    rejectUnauthorized: false,
  });
  let connected = false;
  let received: Buffer = Buffer.alloc(0);

  const settle = () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    socket.off('data', onData);
    socket.off('end', onEnd);
    socket.off('close', onClose);
  };
  const fail = (error: unknown) => {
    settle();
    socket.destroy();
    reject(error);
  };
  const take = (ended: boolean) => {
    const answer = parseConnectAnswer(received, ended);
    if (answer.kind === 'more') return;
    if (answer.kind === 'refused') return fail(new StreamRefused(vmPort, answer.status, answer.reason));
    if (answer.kind === 'malformed') return fail(received.length === 0 ? unknownHere() : notATunnel());
    settle();
    socket.pause();
    if (received.length > answer.headBytes) socket.unshift(received.subarray(answer.headBytes));
    resolve({ stream: socket, cut: () => void tcp.resetAndDestroy() });
  };
  const onData = (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    take(false);
  };
  const onEnd = () => take(true);
  const onClose = () => fail(connected ? unknownHere() : unreachable(path, 'it closed the connection'));
  const onAbort = () => fail(new VmcError('cancelled', 'Cancelled.'));
  const timer = setTimeout(
    () => fail(new VmcError('timeout', `No stream to the VM within ${DEADLINE_MS / 1000} s.`)),
    DEADLINE_MS,
  );

  tcp.on('error', (error) => fail(connected ? unknownHere(error) : unreachable(path, errorMessage(error), error)));
  socket.on('error', (error) => fail(connected ? unknownHere(error) : unreachable(path, errorMessage(error), error)));
  socket.on('close', onClose);
  socket.once('secureConnect', () => {
    connected = true;
    try {
      checkServer(socket, path.serverCertificateSha256);
    } catch (error) {
      fail(error);
      return;
    }
    socket.on('data', onData);
    socket.on('end', onEnd);
    socket.write(`CONNECT localhost:${vmPort} HTTP/1.1\r\nHost: localhost:${vmPort}\r\n\r\n`);
  });
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  return promise;
}

function checkServer(socket: TLSSocket, pinned: string): void {
  const shown = socket.getPeerX509Certificate();
  const seen = shown === undefined ? '' : certificateSha256(shown.raw);
  if (seen.length !== pinned.length || !timingSafeEqual(Buffer.from(seen), Buffer.from(pinned)))
    throw new VmcError(
      'identity-changed',
      'The other end of the tunnel shows another certificate than the VM named over the encrypted channel. Nothing was sent.',
      'If it happens again, somebody stands between you and the VM: tell an administrator.',
    );
}

const unreachable = (path: TunnelPath, why: string, cause?: unknown) =>
  new VmcError(
    'unreachable',
    `The endpoint ${path.host}:${path.port} cannot be reached: ${why}.`,
    'Is a firewall in between? Ports 6000-6100 of the backend must be open to you.',
    { cause },
  );
const unknownHere = (cause?: unknown) =>
  new VmcError(
    'channel-closed',
    'The VM closed the tunnel without an answer: its permission may have ended.',
    undefined,
    {
      cause,
    },
  );
const notATunnel = () => new VmcError('bad-data', 'The other end of the tunnel does not speak HTTP/1.1.');
