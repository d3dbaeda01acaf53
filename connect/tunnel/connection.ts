/** A TLS connection with the VM that has carried nothing yet: TCP to the endpoint, TLS 1.3, both certificates pinned. */
import { timingSafeEqual } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { errorMessage, VmcError } from '../../shared/errors.ts';
import { type Certificate, certificateSha256 } from '../../shared/net/certificate.ts';
import { cutTls } from '../../shared/net/cut.ts';
import type { Wire } from '../../shared/net/join.ts';
import { TLS_OPTIONS } from '../../shared/net/tls.ts';

export interface TunnelPath {
  /** The endpoint at the backend. */
  host: string;
  port: number;
  /** The device's own certificate, which the VM was told over the channel. */
  certificate: Certificate;
  /** The VM's, which it told over the channel. */
  serverCertificateSha256: string;
}

/** One connection; it carries one stream. Half-open is allowed: each direction ends by itself. */
export interface Connection extends Wire {
  readonly stream: TLSSocket;
  /** Where it leaves this device; a stream does not survive the loss of that address. */
  readonly localAddress: string | undefined;
}

/** TLS did not come up. */
export class EndpointUnreachable extends VmcError {
  /** It took the connection, but led nowhere: to a VM without a grant, or this device now has another address. */
  readonly accepted: boolean;

  constructor({ host, port }: TunnelPath, accepted: boolean, why: string, cause?: unknown) {
    super(
      'unreachable',
      accepted
        ? `The endpoint ${host}:${port} leads to no VM that answers: ${why}.`
        : `The endpoint ${host}:${port} cannot be reached: ${why}.`,
      accepted
        ? 'Is the VM running, and vmc in it? connect vm info says.'
        : 'Is a firewall in between? The endpoints of the backend (ports 6000-6100 unless configured otherwise) must be open to you.',
      { cause },
    );
    this.name = 'EndpointUnreachable';
    this.accepted = accepted;
  }
}

/** What connections to one VM have in common: the parsed certificate, and the newest ticket for a shorter handshake. */
export class TlsMemory {
  #context: { certificate: Certificate; value: SecureContext } | undefined;
  #ticket: { certificate: Certificate; server: string; value: Buffer } | undefined;

  contextFor({ certificate }: TunnelPath): SecureContext {
    if (this.#context?.certificate !== certificate) {
      const { certificatePem: cert, privateKeyPem: key } = certificate;
      this.#context = { certificate, value: createSecureContext({ ...TLS_OPTIONS, cert, key }) };
    }
    return this.#context.value;
  }

  /** Only of a connection between the same two certificates (RFC 8446, 4.6.1). */
  ticketFor({ certificate, serverCertificateSha256 }: TunnelPath): Buffer | undefined {
    const ticket = this.#ticket;
    return ticket?.certificate === certificate && ticket.server === serverCertificateSha256 ? ticket.value : undefined;
  }

  keep({ certificate, serverCertificateSha256: server }: TunnelPath, value: Buffer): void {
    this.#ticket = { certificate, server, value };
  }
}

const CONNECT_MS = 10_000;
/** A peer that is gone shows within 20 s (Node asks ten times, a second apart), unless bytes to it are on their way. */
const KEEP_ALIVE_MS = 10_000;

/**
 * @throws EndpointUnreachable; VmcError 'identity-changed' before a byte of HTTP was sent, 'cancelled'.
 */
export function openConnection(path: TunnelPath, signal: AbortSignal, memory = new TlsMemory()): Promise<Connection> {
  const { promise, resolve, reject } = Promise.withResolvers<Connection>();
  if (signal.aborted) return Promise.reject(cancelled());
  const tcp = connectTcp({
    ...{ host: path.host, port: path.port, allowHalfOpen: true, noDelay: true },
    ...{ keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
  });
  const session = memory.ticketFor(path);
  const tls = connectTls({
    socket: tcp,
    secureContext: memory.contextFor(path),
    ...(session === undefined ? {} : { session }),
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: false, // the pin replaces the certificate authorities; it is checked below
  });
  let accepted = false;
  tcp.once('connect', () => {
    accepted = true;
  });
  const failure = (why: string, cause?: unknown) => new EndpointUnreachable(path, accepted, why, cause);
  const settle = () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    tls.off('close', onClose);
  };
  const fail = (error: unknown) => {
    settle();
    tls.destroy();
    reject(error);
  };
  const onError = (error: Error) => fail(failure(errorMessage(error), error)); // stays: an error later has its 'close'
  const onClose = () => fail(failure('it closed the connection'));
  const onAbort = () => fail(cancelled());
  const timer = setTimeout(() => fail(failure(`no answer within ${CONNECT_MS / 1000} s`)), CONNECT_MS);
  tcp.on('error', onError);
  tls.on('error', onError);
  tls.on('close', onClose);
  tls.once('secureConnect', () => {
    // A resumed session shows no certificate. That it could be resumed proves the same peer as when its ticket was kept,
    // and that one had shown the pinned certificate.
    if (!(session !== undefined && tls.isSessionReused()) && !isPinned(tls, path.serverCertificateSha256))
      return fail(otherCertificate());
    tls.on('session', (ticket: Buffer) => memory.keep(path, ticket));
    settle();
    resolve({ stream: tls, localAddress: tcp.localAddress, cut: () => cutTls(tls, tcp) });
  });
  signal.addEventListener('abort', onAbort, { once: true });
  return promise;
}

function isPinned(socket: TLSSocket, pinned: string): boolean {
  const shown = socket.getPeerX509Certificate();
  const seen = shown === undefined ? '' : certificateSha256(shown.raw);
  return seen.length === pinned.length && timingSafeEqual(Buffer.from(seen), Buffer.from(pinned));
}

const otherCertificate = () =>
  new VmcError(
    'identity-changed',
    'The other end of the tunnel shows another certificate than the VM named over the encrypted channel. Nothing was sent.',
    'If it happens again, somebody stands between you and the VM: tell an administrator.',
  );

export const cancelled = () => new VmcError('cancelled', 'Cancelled.');
