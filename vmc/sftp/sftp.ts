/**
 * SFTP (requirement C6): an SSH server on 127.0.0.1 of the VM, reached through the tunnel, that does nothing but run OpenSSH's
 * sftp-server as the person. It listens from the start, so that nobody in the VM takes its port; the rest is loaded when needed.
 */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Right } from '../../shared/api/rights.ts';
import type { SftpAccess } from '../../shared/api/tunnel.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import { Strangers } from '../../shared/net/strangers.ts';
import { findPortOwner } from '../port22/port-owner.ts';
import { type HostKey, loadHostKey } from './host-key.ts';
import { fileAccess } from './plan-server.ts';
import { Sessions, type SessionsDeps } from './sessions.ts';
import type { ConnectionDeps } from './ssh-connection.ts';
import type { SshServer } from './ssh-server.ts';

export interface SftpDeps extends SessionsDeps {
  stateDir: string;
  port: number;
  /** Milliseconds until somebody must have shown who they are; default 20 000. */
  preAuthMs?: number;
}

const PRE_AUTH_MS = 20_000;
/** Of each kind. A newcomer takes the place of the oldest. */
const MAX_STRANGERS = 32;
const ADDRESS = '127.0.0.1';

export class Sftp {
  readonly #deps: SftpDeps;
  readonly #sessions: Sessions;
  readonly #tcp: Server;
  /** Of the tunnel, and of programs of the VM: those come and go as they like, and take no place of the others. */
  readonly #strangers = {
    tunnel: new Strangers(MAX_STRANGERS, MAX_STRANGERS),
    local: new Strangers(MAX_STRANGERS, MAX_STRANGERS),
  };
  /** Connections of vmc's own tunnel that are on their way here. */
  readonly #expected = new Set<Socket>();
  readonly #sockets = new Set<Socket>();
  #key: Promise<HostKey> | undefined;
  #ssh: Promise<SshServer> | undefined;
  #closing = false;

  constructor(deps: SftpDeps) {
    this.#deps = deps;
    this.#sessions = new Sessions(deps);
    this.#tcp = createServer({ noDelay: true, pauseOnConnect: true });
    this.#tcp.on('connection', (socket) => this.#arrive(socket));
  }

  /** @throws VmcError 'port-in-use' that names who has the port. */
  async listen(): Promise<void> {
    const { port } = this.#deps;
    if (this.#tcp.listening || this.#closing) return;
    try {
      this.#tcp.listen({ host: ADDRESS, port });
      await once(this.#tcp, 'listening');
    } catch (error) {
      if (!isErrno(error, 'EADDRINUSE')) throw error;
      const owner = await findPortOwner(port);
      const who = owner === undefined ? 'Another process' : `${owner.name} (pid ${owner.pid})`;
      throw new VmcError(
        'port-in-use',
        `${who} owns port ${port}, which belongs to SFTP.`,
        'End it, or set sftp.port.',
      );
    }
  }

  /**
   * What somebody is told to reach SFTP, with their account made and the server ready.
   * @param person fingerprint. @returns undefined when they may do nothing with files.
   * @throws VmcError 'port-in-use', 'bad-data' (host key, accounts), and what `Accounts.ensure` throws.
   */
  async access(person: string, rights: ReadonlySet<Right>): Promise<SftpAccess | undefined> {
    const access = fileAccess(rights);
    const name = this.#deps.nameOf(person);
    if (access === undefined || name === undefined) return undefined;
    await this.listen();
    const [account, { publicKey }] = await Promise.all([this.#deps.accounts.ensure(person, name), this.#loadKey()]);
    return { port: this.#deps.port, user: account.name, hostKey: publicKey, ...access };
  }

  /** @param service a connection of vmc's own tunnel to this server, that has just been begun. */
  expect(service: Socket): void {
    this.#expected.add(service);
    service.once('close', () => this.#expected.delete(service));
  }

  /** Cuts everything that somebody whose rights shrank has open. @param who fingerprint. @returns how many. */
  cut(who: string): number {
    return this.#sessions.cut(who);
  }

  /** Ends every session and every sftp-server. */
  async close(): Promise<void> {
    this.#closing = true;
    const closed = this.#tcp.listening ? once(this.#tcp, 'close') : undefined;
    this.#tcp.close();
    await this.#sessions.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #loadKey(): Promise<HostKey> {
    this.#key ??= loadHostKey(this.#deps.stateDir).catch((error: unknown) => {
      this.#key = undefined; // what was wrong may be put right
      throw error;
    });
    return this.#key;
  }

  /** For the first connection: 20 MB that a vmc whose people use no SFTP does without. */
  async #load(): Promise<SshServer> {
    const { privateKey } = await this.#loadKey();
    this.#ssh ??= import('./ssh-server.ts').then(({ makeSshServer }) => makeSshServer(privateKey));
    return this.#ssh;
  }

  /** Both ends are in this process: the one's own port is the other's far one, and nobody else can have it meanwhile. */
  #isExpected({ remotePort }: Socket): boolean {
    for (const service of this.#expected)
      if (remotePort !== undefined && service.localPort === remotePort) return this.#expected.delete(service);
    return false;
  }

  #arrive(socket: Socket): void {
    socket.on('error', () => {}); // 'close' follows
    const timer = setTimeout(() => socket.destroy(), this.#deps.preAuthMs ?? PRE_AUTH_MS);
    const from = this.#isExpected(socket) ? 'tunnel' : 'local';
    const stranger = this.#strangers[from].enter(ADDRESS, () => socket.destroy());
    const known = () => {
      clearTimeout(timer);
      stranger.leave();
    };
    this.#sockets.add(socket);
    socket.once('close', () => {
      known();
      this.#sockets.delete(socket);
    });
    const deps: ConnectionDeps = {
      refuses: (key, user) => this.#sessions.refuses(key, user),
      admit: (key, user, cut) => this.#sessions.admit(key, user, cut),
      onAuthenticated: known,
      onRefused: (key, target, result) => {
        const who = key === undefined ? 'unknown' : fingerprint(key);
        void this.#deps.audit.refuse({ who, what: 'sftp.refused', target, result });
      },
    };
    this.#load().then(
      (ssh) => {
        if (!socket.destroyed) ssh.serve(socket, deps);
      },
      (error: unknown) => {
        this.#deps.onProblem(error);
        socket.destroy();
      },
    );
  }
}
