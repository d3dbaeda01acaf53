/**
 * One SSH connection: public key only, then SFTP only. ssh2 refuses by itself whatever nobody listens for here: shell, exec,
 * pty, env, agent, X11 and every kind of forwarding.
 */
import type { Socket } from 'node:net';
import type { AuthContext, Connection, ServerChannel, Session as SshSession } from 'ssh2';
import { plainBytes } from '../../shared/bytes.ts';
import { publicError } from '../../shared/errors.ts';
import type { Ed25519PublicKey } from '../../shared/identity/keys.ts';
import { isProven, keyOf } from './proof.ts';
import { type Session, type SessionOf, startSession } from './session.ts';

export interface Admitted extends SessionOf {
  /** One more sftp-server for them now? Counts it. */
  mayBegin: () => boolean;
  /** The connection has gone, and all of it is recorded. */
  ended(): void;
}

export interface ConnectionDeps {
  /** Why somebody with this key may not come in as this user; undefined when they may. */
  refuses: (key: Ed25519PublicKey, user: string) => Promise<string | undefined>;
  /** Somebody who has proven their key. @param cut ends the connection at once. @throws VmcError when they are refused after all. */
  admit: (key: Ed25519PublicKey, user: string, cut: () => void) => Promise<Admitted>;
  /** Told once of a connection that was refused. @param key proven. */
  onRefused: (key: Ed25519PublicKey | undefined, user: string, reason: string) => void;
  /** Somebody it is, and no stranger any more. */
  onAuthenticated: () => void;
}

const MAX_ATTEMPTS = 10;
/** Channels in a connection's life; ssh2 keeps a little of each. */
const MAX_CHANNELS = 256;
/** Nobody honest asks for less (RFC 4253, 6.1: 32768); ssh2 never comes to an end with packets of 0 bytes. */
const MIN_PACKET = 1024;
/** ssh2 gives a window of 2 MiB and believes that it is kept. */
const MAX_UNREAD = 4 * 1024 * 1024;
/** Answers that a client does not take. */
const MAX_UNSENT = 8 * 1024 * 1024;

export class SshConnection {
  readonly #connection: Connection;
  readonly #socket: Socket;
  readonly #deps: ConnectionDeps;
  #attempts = 0;
  #channels = 0;
  #refusal: { key: Ed25519PublicKey | undefined; user: string; reason: string } | undefined;
  #admitted: Admitted | undefined;
  #current: { channel: ServerChannel; session: Session } | undefined;

  constructor(connection: Connection, socket: Socket, deps: ConnectionDeps) {
    this.#connection = connection;
    this.#socket = socket;
    this.#deps = deps;
    connection.on('error', () => socket.destroy());
    connection.on('authentication', (context) => {
      void this.#authenticate(context).catch(() => this.cut());
    });
    connection.on('session', (accept, reject) => this.#open(accept, reject));
    socket.on('data', () => this.#keepBounds());
    socket.once('close', () => void this.#closed());
  }

  /** Ends it, and its sftp-server, at once; to the client it is no proper end. */
  cut(): void {
    this.#current?.session.kill();
    if (!this.#socket.destroyed) this.#socket.resetAndDestroy();
  }

  async #authenticate(context: AuthContext): Promise<void> {
    const refuse = (reason: string, key?: Ed25519PublicKey) => {
      this.#refusal = { key, user: context.username, reason };
      if (++this.#attempts >= MAX_ATTEMPTS) this.cut();
      else context.reject(['publickey']);
    };
    if (context.method === 'none') return refuse('nothing-shown'); // how a client asks what there is
    if (context.method !== 'publickey') return refuse('not-by-key');
    const key = keyOf(context.key.algo, context.key.data);
    if (key === undefined) return refuse('other-kind-of-key');
    const reason = await this.#deps.refuses(key, context.username);
    const { signature, blob } = context;
    if (signature === undefined || blob === undefined) return reason === undefined ? context.accept() : refuse(reason);
    if (!isProven(key, plainBytes(blob), plainBytes(signature))) return refuse('bad-signature');
    if (reason !== undefined) return refuse(reason, key);
    try {
      const admitted = await this.#deps.admit(key, context.username, () => this.cut());
      this.#admitted = admitted;
      if (this.#socket.destroyed) return void this.#closed(); // gone meanwhile
      this.#refusal = undefined;
      this.#deps.onAuthenticated();
      context.accept();
    } catch (error) {
      refuse(publicError(error).code, key);
    }
  }

  #open(accept: () => SshSession, reject: () => void): void {
    const admitted = this.#admitted;
    if (admitted === undefined || ++this.#channels > MAX_CHANNELS) {
      reject();
      return;
    }
    const sshSession = accept();
    sshSession.on('subsystem', (acceptChannel, refuse, { name }) => {
      if (name !== 'sftp' || this.#current !== undefined || !admitted.mayBegin()) return void refuse?.();
      const channel = acceptChannel();
      if (!hasFairPackets(channel.outgoing)) return this.cut();
      const transport = { connection: this.#connection, socket: this.#socket };
      const session = startSession(channel, transport, admitted);
      const current = { channel, session };
      this.#current = current;
      sshSession.once('close', () => session.clientGone());
      void session.ended.then(() => {
        if (this.#current === current) this.#current = undefined;
      });
    });
  }

  #keepBounds(): void {
    const unread = this.#current?.channel.readableLength ?? 0;
    if (unread > MAX_UNREAD || this.#socket.writableLength > MAX_UNSENT) this.cut();
  }

  async #closed(): Promise<void> {
    const admitted = this.#admitted;
    this.#admitted = undefined;
    if (this.#refusal !== undefined) this.#deps.onRefused(this.#refusal.key, this.#refusal.user, this.#refusal.reason);
    this.#refusal = undefined;
    const session = this.#current?.session;
    session?.clientGone();
    await session?.ended;
    admitted?.ended();
  }
}

/** @param outgoing what ssh2 keeps of the other side; its types do not say. */
function hasFairPackets(outgoing: unknown): boolean {
  const { packetSize } = outgoing as { packetSize?: unknown };
  return typeof packetSize === 'number' && packetSize >= MIN_PACKET;
}
