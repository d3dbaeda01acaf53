/**
 * Port 22: TLS 1.3, mutual, both certificates pinned by SHA-256 (DESIGN 5). Without a live grant there is not even a
 * handshake; an unknown certificate gets no answer. Each connection carries one CONNECT and one stream.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls';
import { certificateSha256 } from '../../shared/net/pins.ts';
import { TLS_OPTIONS } from '../../shared/net/tls.ts';
import type { Grants } from './grants.ts';
import type { PortRange } from './parse-ports.ts';
import { PreAuthLimit } from './pre-auth.ts';
import { serveConnect } from './serve-connect.ts';

export interface TunnelServerDeps {
  grants: Grants;
  ports: readonly PortRange[];
  maxPreAuth: number;
  maxPreAuthPerAddress: number;
  /** Milliseconds for the handshake and the CONNECT together; default 10 000. */
  preAuthMs?: number;
  /** Told of each connection that was refused, for the audit log. */
  onRefused: (reason: string, address: string) => void;
}

interface Pending {
  /** The TCP socket below the TLS one. */
  tcp: Socket;
  /** The peer is known and has said what it wants: it no longer counts as pre-auth. */
  settled(): void;
}

const PRE_AUTH_MS = 10_000;

/** A TLS socket and the TCP socket below it have this in common. */
const keyOf = (socket: Socket) => `${socket.remoteAddress} ${socket.remotePort}`;

export class TunnelServer {
  /** The TCP side; claim-port.ts makes it listen. */
  readonly tcp: Server;
  readonly #deps: TunnelServerDeps;
  readonly #preAuth: PreAuthLimit;
  readonly #pending = new Map<string, Pending>();
  readonly #sockets = new Set<Socket>();
  #tls: TlsServer | undefined;

  constructor(deps: TunnelServerDeps) {
    this.#deps = deps;
    this.#preAuth = new PreAuthLimit(deps.maxPreAuth, deps.maxPreAuthPerAddress);
    this.tcp = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 });
    this.tcp.on('connection', (socket) => this.#arrive(socket));
  }

  /** The certificate to show from now on. */
  useCertificate(certificate: { certificatePem: string; privateKeyPem: string }): void {
    this.#tls = createTlsServer({
      ...TLS_OPTIONS,
      cert: certificate.certificatePem,
      key: certificate.privateKeyPem,
      requestCert: true,
      rejectUnauthorized: false, // no authority signs these: the pin decides, for resumed sessions too
      ALPNProtocols: ['http/1.1'],
    });
    this.#tls.on('secureConnection', (socket) => this.#secured(socket));
    this.#tls.on('tlsClientError', (_error, socket) => socket.destroy());
  }

  /** Cuts every stream and gives the port back. */
  async close(): Promise<void> {
    this.#deps.grants.closeAll();
    for (const socket of this.#sockets) socket.destroy();
    if (this.tcp.listening) await new Promise((resolve) => this.tcp.close(resolve));
  }

  #arrive(socket: Socket): void {
    socket.on('error', () => {}); // 'close' follows
    const address = socket.remoteAddress ?? 'unknown';
    if (this.#tls === undefined || this.#deps.grants.size === 0) {
      socket.destroy(); // nobody is expected
      return;
    }
    const leave = this.#preAuth.enter(address);
    if (leave === undefined) {
      socket.destroy();
      this.#deps.onRefused('too-many-connections', address);
      return;
    }
    const key = keyOf(socket);
    const timer = setTimeout(() => socket.destroy(), this.#deps.preAuthMs ?? PRE_AUTH_MS);
    const settled = () => {
      clearTimeout(timer);
      leave();
    };
    this.#pending.set(key, { settled, tcp: socket });
    this.#sockets.add(socket);
    socket.once('close', () => {
      settled();
      this.#pending.delete(key);
      this.#sockets.delete(socket);
    });
    this.#tls.emit('connection', socket);
  }

  #secured(socket: TLSSocket): void {
    socket.on('error', () => {}); // a peer that vanishes; 'close' follows
    const pending = this.#pending.get(keyOf(socket));
    const presented = socket.getPeerX509Certificate();
    const grant = presented === undefined ? undefined : this.#deps.grants.find(certificateSha256(presented.raw));
    if (pending === undefined || grant === undefined) {
      this.#deps.onRefused(
        presented === undefined ? 'no-certificate' : 'unknown-certificate',
        `${socket.remoteAddress}`,
      );
      socket.destroy();
      return;
    }
    // A reset, so that to the device a cut never looks like a proper end. But not while our own end is on its way out:
    // Node then loses the handle, and spins at exit waiting for it.
    const cut = () => void (socket.writableEnded ? socket.destroy() : pending.tcp.resetAndDestroy());
    const stream = { destroy: cut };
    const hasRoom = this.#deps.grants.addStream(grant, stream);
    socket.once('close', () => grant.streams.delete(stream));
    serveConnect(socket, { ports: this.#deps.ports, hasRoom, onRequest: pending.settled, cut });
  }
}
