/**
 * Port 22: TLS 1.3, mutual, both certificates pinned by SHA-256 (DESIGN 5). Without a live grant there is not even a
 * handshake; an unknown certificate gets no answer. Each connection carries one CONNECT and one stream.
 */
import { randomBytes } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls';
import { plainAddress } from '../../shared/net/addresses.ts';
import { cutTls } from '../../shared/net/cut.ts';
import { certificateSha256 } from '../../shared/net/pins.ts';
import { Strangers } from '../../shared/net/strangers.ts';
import { TLS_OPTIONS } from '../../shared/net/tls.ts';
import type { Grant, GrantConnection, Grants } from './grants.ts';
import { KEEP_ALIVE_MS, LINGER_MS, serveConnect } from './serve-connect.ts';

export interface TunnelServerDeps {
  grants: Grants;
  /** Connections that have not shown a known certificate, in all and from one address; a newcomer takes the oldest one's place. */
  maxPreAuth: number;
  maxPreAuthPerAddress: number;
  /** Seconds that a connection with a known certificate may take for its CONNECT. */
  readySeconds: number;
  /** Milliseconds from TCP's connect to a known certificate; default 10 000. */
  preAuthMs?: number;
  /**
   * For the audit log: each connection that was refused, or cut for a newcomer, with its address; and what a grant does
   * not allow, with the port that was asked for and the person, whose fingerprint is otherwise not known.
   */
  onRefused: (reason: string, target: string, person?: string) => void;
  /** Told of each connection to a port of the VM when it is begun, before it has arrived there. */
  onService?: (service: Socket, port: number) => void;
}

interface Pending {
  /** The TCP socket below the TLS one. */
  tcp: Socket;
  /** Its certificate is known: it is no stranger any more, and has no deadline as one. Harmless when repeated. */
  proven(): void;
}

const PRE_AUTH_MS = 10_000;
/** A device that comes back within this needs no new signature (RFC 8446, 4.6.1: at most a week). */
const RESUMABLE_SECONDS = 300;
/** Whoever gets hold of the key could resume a session as its device: so no key lives longer. */
const TICKET_KEY_MS = 3_600_000;
/** What Node wants: the key's name, one for HMAC-SHA-256, one for AES-128-CBC. */
const TICKET_KEY_BYTES = 48;

/** A TLS socket and the TCP socket below it have this in common, and no other: the VM may have more than one address. */
const keyOf = ({ remoteAddress, remotePort, localAddress, localPort }: Socket) =>
  `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;

export class TunnelServer {
  /** The TCP side; claim-port.ts makes it listen. */
  readonly tcp: Server;
  readonly #deps: TunnelServerDeps;
  readonly #strangers: Strangers;
  readonly #pending = new Map<string, Pending>();
  readonly #sockets = new Set<Socket>();
  #tls: TlsServer | undefined;
  #rotation: NodeJS.Timeout | undefined;

  constructor(deps: TunnelServerDeps) {
    this.#deps = deps;
    this.#strangers = new Strangers(deps.maxPreAuth, deps.maxPreAuthPerAddress);
    this.tcp = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
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
      sessionTimeout: RESUMABLE_SECONDS,
    });
    this.#tls.on('secureConnection', (socket) => this.#secured(socket));
    this.#tls.on('tlsClientError', (_error, socket) => socket.destroy());
    clearInterval(this.#rotation);
    this.#rotation = setInterval(() => this.rotateTicketKeys(), TICKET_KEY_MS).unref();
  }

  /** Sessions from before are not resumed any more: they take a whole handshake. The keys are nowhere but in memory. */
  rotateTicketKeys(): void {
    this.#tls?.setTicketKeys(randomBytes(TICKET_KEY_BYTES));
  }

  /** Cuts every stream and gives the port back. */
  async close(): Promise<void> {
    clearInterval(this.#rotation);
    this.#deps.grants.closeAll();
    for (const socket of this.#sockets) socket.destroy();
    if (this.tcp.listening) await new Promise((resolve) => this.tcp.close(resolve));
  }

  #arrive(socket: Socket): void {
    socket.on('error', () => {}); // 'close' follows
    const address = plainAddress(socket.remoteAddress);
    if (this.#tls === undefined || this.#deps.grants.size === 0) {
      socket.destroy(); // nobody is expected
      return;
    }
    const key = keyOf(socket);
    const timer = setTimeout(() => socket.destroy(), this.#deps.preAuthMs ?? PRE_AUTH_MS);
    const stranger = this.#strangers.enter(address, () => {
      socket.destroy();
      this.#deps.onRefused('too-many-connections', address);
    });
    const pending = {
      tcp: socket,
      proven: () => {
        stranger.leave();
        clearTimeout(timer);
      },
    };
    this.#pending.set(key, pending);
    this.#sockets.add(socket);
    socket.once('close', () => {
      pending.proven();
      if (this.#pending.get(key) === pending) this.#pending.delete(key);
      this.#sockets.delete(socket);
    });
    // At once, before anything is read: a TLS that is handed bytes keeps reading in pieces as small as those.
    this.#tls.emit('connection', socket);
  }

  #secured(socket: TLSSocket): void {
    socket.on('error', () => {}); // a peer that vanishes; 'close' follows
    const pending = this.#pending.get(keyOf(socket));
    const presented = socket.getPeerX509Certificate();
    const certificate = presented === undefined ? '' : certificateSha256(presented.raw);
    const grant = this.#deps.grants.find(certificate);
    if (pending === undefined || grant === undefined) {
      this.#deps.onRefused(
        presented === undefined ? 'no-certificate' : 'unknown-certificate',
        `${socket.remoteAddress}`,
      );
      socket.destroy();
      return;
    }
    pending.proven();
    this.#await(socket, pending.tcp, grant);
  }

  /** A connection of a grant: first it may wait for its CONNECT, so that a new stream needs no handshake. */
  #await(socket: TLSSocket, tcp: Socket, { certificateSha256: certificate, person }: Grant): void {
    const { grants, readySeconds, onRefused, onService } = this.#deps;
    let service: Socket | undefined;
    const cut = () => cutTls(socket, tcp);
    let lingering: NodeJS.Timeout | undefined;
    const connection: GrantConnection = {
      cut,
      end: () => {
        socket.destroySoon();
        lingering ??= setTimeout(() => socket.destroy(), LINGER_MS); // for a peer that takes nothing more
      },
      bytes: () => ({ bytesIn: service?.bytesWritten ?? 0, bytesOut: service?.bytesRead ?? 0 }),
    };
    const timer = setTimeout(connection.end, readySeconds * 1000);
    socket.once('close', () => {
      clearTimeout(timer);
      clearTimeout(lingering);
      grants.remove(certificate, connection);
    });
    if (!grants.addWaiting(certificate, connection)) {
      cut(); // its time was over just now
      return;
    }
    serveConnect(socket, {
      ports: () => grants.find(certificate)?.ports ?? [],
      onRequest: () => clearTimeout(timer),
      onRefused: (reason, port) => onRefused(reason, `localhost:${port}`, person),
      begin: () => grants.becomeStream(certificate, connection),
      onService: (begun, port) => {
        service = begun;
        onService?.(begun, port);
      },
      cut,
    });
  }
}
