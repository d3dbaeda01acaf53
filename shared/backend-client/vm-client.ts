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
import { pinnedAgent } from '../net/pinned-agent.ts';
import { RELAY_VM_PATH, relayToVmSchema, statementContexts } from '../relay-wire.ts';
import type { Route } from '../rest-api/route.ts';
import { vmEnrol } from '../rest-api/vm-enrol.ts';
import { type BackendAddress, callRoute, type RouteInput } from './http.ts';
import { keepAlive } from './keep-alive.ts';
import { openSocket, receiveText } from './websocket.ts';

export interface RequestBounds {
  /** Default 60 000. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

export class VmClient {
  readonly address: BackendAddress;
  protected readonly agent: Agent;
  protected session: string | undefined;

  constructor(address: BackendAddress) {
    this.address = address;
    this.agent = pinnedAgent(address.pin);
  }

  call<T extends Route>(route: T, input: RouteInput<T>, options: RequestBounds = {}): Promise<z.output<T['result']>> {
    return callRoute(this.address, route, input, { ...options, agent: this.agent, session: this.session });
  }

  /** Ends idle connections. */
  close(): void {
    this.agent.destroy();
  }

  async enrolVm(identity: Identity, vmId: string, token: Uint8Array): Promise<void> {
    const { ed25519, x25519, mlkem768 } = identity.public;
    const signature = signStatementNatively(identity, statementContexts.enrolVm, [
      token,
      utf8(vmId),
      ed25519,
      x25519,
      mlkem768,
    ]);
    await this.call(vmEnrol, {
      params: {},
      body: {
        vmId,
        enrolToken: toBase64(token),
        identity: publicIdentityToJson(identity.public),
        signature: toBase64(signature),
      },
    });
  }

  /** Parks one socket. `paired` resolves with it, paused, once a user is on its other end, and rejects when it closes before. */
  async parkAtRelay(
    identity: Identity,
    vmId: string,
    signal?: AbortSignal,
  ): Promise<{ paired: Promise<WebSocket>; close(): void }> {
    const socket = await openSocket(this.address, RELAY_VM_PATH, {
      agent: this.agent,
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      const hello = relayToVmSchema.parse(await receiveText(socket, 10_000));
      if (hello.type !== 'challenge') throw new VmcError('bad-data', 'The relay did not send a challenge.');
      const signature = signStatementNatively(identity, statementContexts.relayPark, [
        hello.challenge,
        utf8(vmId),
        utf8(this.address.pin),
      ]);
      socket.send(JSON.stringify({ type: 'park', vmId, signature: toBase64(signature) }));
      const answer = relayToVmSchema.parse(await receiveText(socket, 10_000));
      if (answer.type !== 'parked') throw new VmcError('bad-data', 'The relay did not park the socket.');
    } catch (error) {
      socket.terminate();
      throw error;
    }
    keepAlive(socket);
    const paired = receiveText(socket).then((message) => {
      if (relayToVmSchema.parse(message).type === 'paired') return socket;
      socket.terminate();
      throw new VmcError('bad-data', 'The relay sent a message that was not expected.');
    });
    return { paired, close: () => socket.terminate() };
  }
}
