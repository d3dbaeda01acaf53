/** The thin typed client of the backend: for connect, vmc and the host agent alike. */
import type { WebSocket } from 'ws';
import type * as z from 'zod';
import { HOST_LINK_PATH, hostLinkHelloSchema } from '../agent-api/index.ts';
import { utf8 } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import type { Identity } from '../identity/identity.ts';
import { publicIdentityToJson } from '../identity/public-identity.ts';
import { signStatementNatively } from '../identity/statement.ts';
import { toBase64 } from '../names.ts';
import { orderRelays } from '../relay/order.ts';
import { RELAY_USER_PATH, relayToUserSchema, statementContexts } from '../relay-wire.ts';
import { routes } from '../rest-api/index.ts';
import type { RelayAddress } from '../rest-api/vm-enrol.ts';
import { type RequestBounds, VmClient } from './vm-client.ts';
import { openSocket, receiveMessage } from './websocket.ts';

/** A connection that is gone without a word must not hold up somebody who reconnects. */
const TICKET_TIMEOUT_MS = 15_000;

/** What people and host agents ask of the backend, besides what VMs do. */
export class BackendClient extends VmClient {
  // --- people

  async claim(
    identity: Identity,
    name: string,
    code: string,
    options: RequestBounds = {},
  ): Promise<z.output<typeof routes.claim.result>> {
    const { ed25519, x25519, mlkem768 } = identity.public;
    const signature = signStatementNatively(identity, statementContexts.claim, [
      utf8(code),
      utf8(name),
      ed25519,
      x25519,
      mlkem768,
      utf8(this.address.pin),
    ]);
    const body = { code, name, identity: publicIdentityToJson(identity.public), signature: toBase64(signature) };
    return this.call(routes.claim, { params: {}, body }, options);
  }

  async signIn(identity: Identity, options: RequestBounds = {}): Promise<z.output<typeof routes.signIn.result>> {
    const { ed25519 } = identity.public;
    const { challenge } = await this.call(routes.challenge, { params: {}, body: {} }, options);
    const signature = signStatementNatively(identity, statementContexts.signIn, [
      challenge,
      ed25519,
      utf8(this.address.pin),
    ]);
    const body = { ed25519: toBase64(ed25519), challenge: toBase64(challenge), signature: toBase64(signature) };
    const result = await this.call(routes.signIn, { params: {}, body }, options);
    this.session = result.session;
    return result;
  }

  async signOut(options: RequestBounds = {}): Promise<void> {
    if (this.session !== undefined) await this.call(routes.signOut, { params: {}, body: {} }, options);
    this.session = undefined;
  }

  /**
   * A socket that is paired with one of the VM's: paused, binary from here on. Tries the relays in the order in which the VM
   * does, until one has a socket of it.
   * @throws VmcError 'forbidden' for a VM that this account may not reach, 'unreachable', 'limit'.
   */
  async openRelayToVm(vmId: string, signal?: AbortSignal): Promise<WebSocket> {
    if (this.session === undefined) throw new VmcError('unauthenticated', 'Sign in first.');
    const bounds = signal === undefined ? {} : { signal };
    const asking = { timeoutMs: TICKET_TIMEOUT_MS, ...bounds };
    const { relays } = await this.call(routes.relayTicket, { params: { vmId }, body: {} }, asking);
    const failures: unknown[] = [];
    for (const relay of orderRelays(vmId, relays)) {
      try {
        return await this.#pairAt(relay, relay.ticket, bounds);
      } catch (error) {
        if (signal?.aborted === true) throw error;
        failures.push(error);
      }
    }
    throw mostTelling(failures);
  }

  async #pairAt(relay: RelayAddress, ticket: Uint8Array, bounds: { signal?: AbortSignal }): Promise<WebSocket> {
    const text = ticket.toBase64({ alphabet: 'base64url', omitPadding: true });
    const socket = await this.openAtRelay(relay, RELAY_USER_PATH, { ...bounds, ticket: text });
    try {
      await receiveMessage(socket, relayToUserSchema, 10_000);
    } catch (error) {
      socket.terminate();
      throw error;
    }
    this.keepAlive(socket);
    return socket;
  }

  // --- hosts

  async enrolHost(identity: Identity, hostId: string, token: Uint8Array, address: string): Promise<void> {
    const { ed25519, x25519, mlkem768 } = identity.public;
    const signature = signStatementNatively(identity, statementContexts.enrolHost, [
      token,
      utf8(hostId),
      ed25519,
      x25519,
      mlkem768,
      utf8(address),
    ]);
    await this.call(routes.hostEnrol, {
      params: {},
      body: {
        hostId,
        enrolToken: toBase64(token),
        identity: publicIdentityToJson(identity.public),
        address,
        signature: toBase64(signature),
      },
    });
  }

  /** The host agent's own websocket, signed in and paused: JSON-RPC from here on, the backend calls. */
  async openHostLink(identity: Identity, hostId: string, signal?: AbortSignal): Promise<WebSocket> {
    const socket = await openSocket(this.address, HOST_LINK_PATH, {
      agent: this.agent,
      maxMessageBytes: 1024 * 1024,
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      const { challenge } = await receiveMessage(socket, hostLinkHelloSchema, 10_000);
      const signature = signStatementNatively(identity, statementContexts.hostLink, [
        new Uint8Array(Buffer.from(challenge, 'base64')),
        utf8(hostId),
        utf8(this.address.pin),
      ]);
      socket.send(JSON.stringify({ type: 'link', hostId, signature: toBase64(signature) }));
    } catch (error) {
      socket.terminate();
      throw error;
    }
    this.keepAlive(socket);
    return socket;
  }
}

/** That one relay has no socket of the VM, or is down, says less than what another has against it. */
function mostTelling(failures: readonly unknown[]): unknown {
  return failures.find((it) => !(it instanceof VmcError && it.code === 'unreachable')) ?? failures[0];
}
