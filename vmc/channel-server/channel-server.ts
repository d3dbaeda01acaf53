/** From a socket that the relay paired to a person who is allowed in, and their requests. */
import type { WebSocket } from 'ws';
import type { Right } from '../../shared/api/rights.ts';
import type { Channel } from '../../shared/channel/channel.ts';
import { HandshakeGate } from '../../shared/channel/handshake-gate.ts';
import { HandshakeRefused } from '../../shared/channel/refusal.ts';
import { ReplayCache } from '../../shared/channel/replay-cache.ts';
import { acceptChannel } from '../../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../../shared/channel/websocket-transport.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import type { Ed25519PublicKey } from '../../shared/identity/keys.ts';
import { type Greeting, type Handle, RpcPeer } from '../../shared/rpc/peer.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { Allowance } from '../requests/allowance.ts';

/** Someone on a channel: who, and what they may do now. */
export interface Caller {
  fingerprint: string;
  /** Asked at each call: a right that was taken away is gone at once. */
  rights(): ReadonlySet<Right> | undefined;
  /** Once more now, what is recorded for good? Counts it. */
  mayRecord(): boolean;
}

export interface ChannelServerDeps {
  identity: Identity;
  rightsOf: (person: Ed25519PublicKey) => ReadonlySet<Right> | undefined;
  isOwner: (person: Ed25519PublicKey) => boolean;
  handleFor: (caller: Caller) => Handle;
  greetingFor: (fingerprint: string) => Greeting;
  audit: Pick<AuditLog, 'record' | 'refuse'>;
  /** Of everybody but the owner. */
  allowance?: Allowance | undefined;
  onInternalError: (method: string, error: unknown) => void;
}

const MAX_HANDSHAKES = 32;
/** Of everybody; the owner's come besides, so that nobody keeps the owner out. */
const MAX_CHANNELS = 64;
const MAX_CHANNELS_OF_ONE = 16;

export class ChannelServer {
  readonly #deps: ChannelServerDeps;
  readonly #gate = new HandshakeGate(MAX_HANDSHAKES);
  readonly #replayCache = new ReplayCache();
  readonly #channels = new Map<Channel, { who: string; revoked: boolean }>();
  readonly #serving = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  readonly #allowance: Allowance;

  constructor(deps: ChannelServerDeps) {
    this.#deps = deps;
    this.#allowance = deps.allowance ?? new Allowance();
  }

  get size(): number {
    return this.#channels.size;
  }

  /** Serves one paired socket to its end. Never throws. */
  async serve(socket: WebSocket): Promise<void> {
    const serving = this.#serve(socket);
    this.#serving.add(serving);
    await serving;
    this.#serving.delete(serving);
  }

  /** Cuts every channel of somebody whose rights shrank. They may come again, with what they still may. @returns how many. */
  cut(who: string): number {
    const theirs = [...this.#channels].filter(([, open]) => open.who === who);
    for (const [channel, open] of theirs) {
      open.revoked = true;
      channel.abort();
    }
    return theirs.length;
  }

  /** Closes every channel, and waits until what it still had to say to the audit log is said. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#channels.keys()].map((channel) => channel.close()));
    await Promise.all(this.#serving);
  }

  async #serve(socket: WebSocket): Promise<void> {
    const transport = webSocketTransport(socket);
    socket.resume(); // it came paused, so that nothing was lost before the transport listened
    try {
      const channel = await acceptChannel(transport, {
        identity: this.#deps.identity,
        authorize: (person, purpose) => purpose === 'control' && this.#deps.rightsOf(person) !== undefined,
        replayCache: this.#replayCache,
        gate: this.#gate,
        signal: this.#stop.signal,
      });
      await this.#serveChannel(channel, socket);
    } catch (error) {
      if (error instanceof HandshakeRefused) await this.#refused(error);
      else this.#deps.onInternalError('channel', error);
    }
  }

  async #serveChannel(channel: Channel, socket: WebSocket): Promise<void> {
    const who = fingerprint(channel.peer);
    const isOwner = this.#deps.isOwner(channel.peer);
    const mayRecord = () => isOwner || this.#allowance.take(who);
    const refused = this.#whyNot(channel, who, isOwner, mayRecord);
    if (refused !== undefined) {
      channel.abort();
      await this.#deps.audit.refuse({ who, what: 'channel.refused', result: refused });
      return;
    }
    const open = { who, revoked: false };
    this.#channels.set(channel, open);
    void this.#deps.audit.record({ who, what: 'channel.open', target: channel.purpose, result: 'ok' });
    const caller: Caller = { fingerprint: who, rights: () => this.#deps.rightsOf(channel.peer), mayRecord };
    const peer = new RpcPeer(channel, {
      handle: this.#deps.handleFor(caller),
      greeting: this.#deps.greetingFor(who),
      onInternalError: this.#deps.onInternalError,
    });
    socket.on('message', () => peer.heard());
    const result = await peer.ended.then(
      () => 'ok',
      () => (open.revoked ? 'revoked' : 'cut'),
    );
    this.#channels.delete(channel);
    void this.#deps.audit.record({ who, what: 'channel.close', target: channel.purpose, result });
  }

  /** Of somebody whose handshake is done. */
  #whyNot(channel: Channel, who: string, isOwner: boolean, mayRecord: () => boolean): string | undefined {
    if (this.#deps.rightsOf(channel.peer) === undefined) return 'forbidden'; // removed during the handshake
    const theirs = [...this.#channels.values()].filter((open) => open.who === who).length;
    if (theirs >= MAX_CHANNELS_OF_ONE || (!isOwner && this.#channels.size >= MAX_CHANNELS)) return 'too-many-channels';
    return mayRecord() ? undefined : 'too-often';
  }

  /** The peer only saw its socket close; the reason is for the owner of this VM. */
  async #refused({ reason, proven }: HandshakeRefused): Promise<void> {
    if (reason === 'cancelled') return;
    const who = proven === undefined ? 'unknown' : fingerprint(proven.peer);
    await this.#deps.audit.refuse({ who, what: 'channel.refused', target: proven?.purpose, result: reason });
  }
}
