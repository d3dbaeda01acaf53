/** What a VM asks of the backend. A file of its own: vmc starts without loading every route and method there is. */
import type { Agent } from 'node:https';
import type { WebSocket } from 'ws';
import type * as z from 'zod';
import { utf8 } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import type { Identity } from '../identity/identity.ts';
import { publicIdentityToJson } from '../identity/public-identity.ts';
import { signStatementNatively } from '../identity/statement.ts';
import { toBase64 } from '../names.ts';
import { onDisturbance } from '../net/disturbance.ts';
import { pinnedAgent } from '../net/pinned-agent.ts';
import { RELAY_VM_PATH, relayToVmSchema, statementContexts } from '../relay-wire.ts';
import { challengeRoute } from '../rest-api/challenge.ts';
import type { Route } from '../rest-api/route.ts';
import { type RelayAccess, type RelayAddress, vmEnrol, vmPass } from '../rest-api/vm-enrol.ts';
import { type BackendAddress, callRoute, type RouteInput } from './http.ts';
import { KEEP_ALIVE, type KeepAliveTimes, keepAlive } from './keep-alive.ts';
import { type OpenSocketOptions, openSocket, receiveMessage } from './websocket.ts';

export interface RequestBounds {
  /** Default 60 000. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

export class VmClient {
  readonly address: BackendAddress;
  protected readonly agent: Agent;
  protected session: string | undefined;
  readonly #times: KeepAliveTimes;
  readonly #stopListening: () => void;

  /** @param times how soon a websocket's dead peer shows. */
  constructor(address: BackendAddress, times: KeepAliveTimes = KEEP_ALIVE) {
    this.address = address;
    this.agent = pinnedAgent(address.pin);
    this.#times = times;
    this.#stopListening = onDisturbance(() => this.#dropIdle());
  }

  call<T extends Route>(route: T, input: RouteInput<T>, options: RequestBounds = {}): Promise<z.output<T['result']>> {
    return callRoute(this.address, route, input, { ...options, agent: this.agent, session: this.session });
  }

  /** Ends idle connections. */
  close(): void {
    this.#stopListening();
    this.agent.destroy();
  }

  protected keepAlive(socket: WebSocket): void {
    keepAlive(socket, this.#times);
  }

  /** A request over a connection that died meanwhile would wait for its whole time limit. */
  #dropIdle(): void {
    for (const sockets of Object.values(this.agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }

  /** Repeating it with the same keys is fine. @returns with what and where to park. */
  async enrolVm(identity: Identity, vmId: string, token: Uint8Array): Promise<RelayAccess> {
    const { ed25519, x25519, mlkem768 } = identity.public;
    const signature = signStatementNatively(identity, statementContexts.enrolVm, [
      token,
      utf8(vmId),
      ed25519,
      x25519,
      mlkem768,
    ]);
    return this.call(vmEnrol, {
      params: {},
      body: {
        vmId,
        enrolToken: toBase64(token),
        identity: publicIdentityToJson(identity.public),
        signature: toBase64(signature),
      },
    });
  }

  /** A new pass, for a VM that has enrolled. @throws VmcError 'unauthenticated' when the backend does not know this VM with this key. */
  async renewPass(identity: Identity, vmId: string): Promise<RelayAccess> {
    const { challenge } = await this.call(challengeRoute, { params: {}, body: {} });
    const parts = [challenge, utf8(vmId), utf8(this.address.pin)];
    const signature = signStatementNatively(identity, statementContexts.vmPass, parts);
    const body = { challenge: toBase64(challenge), signature: toBase64(signature) };
    return this.call(vmPass, { params: { vmId }, body });
  }

  /** Parks one socket. `paired` resolves with it, paused, once a user is on its other end, and rejects when it closes before. */
  async parkAtRelay(
    relay: RelayAddress,
    identity: Identity,
    vmId: string,
    pass: Uint8Array,
    signal?: AbortSignal,
  ): Promise<{ paired: Promise<WebSocket>; close(): void }> {
    const socket = await this.openAtRelay(relay, RELAY_VM_PATH, signal === undefined ? {} : { signal });
    try {
      const hello = await receiveMessage(socket, relayToVmSchema, 10_000);
      if (hello.type !== 'challenge') throw new VmcError('bad-data', 'The relay did not send a challenge.');
      const parts = [hello.challenge, utf8(vmId), utf8(relay.pin)];
      const signature = signStatementNatively(identity, statementContexts.relayPark, parts);
      socket.send(JSON.stringify({ type: 'park', pass: toBase64(pass), signature: toBase64(signature) }));
      const answer = await receiveMessage(socket, relayToVmSchema, 10_000);
      if (answer.type !== 'parked') throw new VmcError('bad-data', 'The relay did not park the socket.');
    } catch (error) {
      socket.terminate();
      throw error;
    }
    this.keepAlive(socket);
    const paired = receiveMessage(socket, relayToVmSchema).then((message) => {
      if (message.type === 'paired') return socket;
      throw new VmcError('bad-data', 'The relay sent a message that was not expected.');
    });
    // Whatever it was: nobody has the socket now, and it is paused, so that no keep-alive would end it.
    paired.catch(() => socket.terminate());
    return { paired, close: () => socket.terminate() };
  }

  /** The relay with the backend's own pin is the backend, at the address by which it is known here; others have theirs. */
  protected async openAtRelay(
    relay: RelayAddress,
    path: string,
    options: Omit<OpenSocketOptions, 'agent'>,
  ): Promise<WebSocket> {
    if (relay.pin === this.address.pin) return openSocket(this.address, path, { ...options, agent: this.agent });
    const agent = pinnedAgent(relay.pin, { keepAlive: false });
    return openSocket(relay, path, { ...options, agent });
  }
}
