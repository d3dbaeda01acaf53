/** Upgrades to websockets: which path leads where, and how many strangers may stand in the door. */
import type { IncomingMessage } from 'node:http';
import type { Server } from 'node:https';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { HOST_LINK_PATH } from '../shared/agent-api/index.ts';
import { vmIdSchema } from '../shared/names.ts';
import { RELAY_CLOSE, RELAY_MAX_MESSAGE, RELAY_USER_PATH, RELAY_VM_PATH } from '../shared/relay-wire.ts';
import type { HostLinks } from './hosts/links.ts';
import { plainAddress } from './net/addresses.ts';
import { Admission } from './net/admission.ts';
import { closeSoon } from './net/demand-proof.ts';
import type { Relay } from './relay/relay.ts';
import type { Caller } from './rest/handler.ts';

export interface SocketsDeps {
  relay: Relay;
  links: HostLinks;
  findCaller(authorization: string | undefined): Caller | undefined;
  /** Whether this person may have a channel to this VM. */
  mayReach(userId: string, vmId: string): boolean;
  limits: { preAuth: number; preAuthPerAddress: number };
}

type Accept = (socket: WebSocket) => void;

export class Sockets {
  readonly #deps: SocketsDeps;
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: RELAY_MAX_MESSAGE,
    perMessageDeflate: false,
    clientTracking: true,
  });
  readonly #strangers: Admission;

  constructor(deps: SocketsDeps) {
    this.#deps = deps;
    this.#strangers = new Admission(deps.limits.preAuth, deps.limits.preAuthPerAddress);
  }

  serve(server: Server): void {
    server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** Cuts every websocket, and resolves when all of them have said so. */
  async close(): Promise<void> {
    const closed = [...this.#server.clients].map((socket) => {
      const done = new Promise((resolve) => socket.once('close', resolve));
      socket.terminate();
      return done;
    });
    this.#server.close();
    await Promise.all(closed);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => {});
    const url = URL.canParse(request.url ?? '', 'https://backend')
      ? new URL(request.url ?? '', 'https://backend')
      : undefined;
    const accept = this.#route(url, request, socket);
    if (typeof accept === 'number') refuse(socket, accept);
    else
      this.#server.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.on('error', () => {}); // 'close' follows
        accept(webSocket);
      });
  }

  /** @returns what to do with the websocket, or the HTTP status of the refusal. */
  #route(url: URL | undefined, request: IncomingMessage, socket: Duplex): Accept | number {
    const { relay, links } = this.#deps;
    switch (url?.pathname) {
      case RELAY_VM_PATH:
        return this.#admit(request, socket, (webSocket, over) => relay.acceptVm(webSocket, over));
      case HOST_LINK_PATH:
        return this.#admit(request, socket, (webSocket, over) => links.accept(webSocket, over));
      case RELAY_USER_PATH:
        return this.#acceptUser(url, request);
      default:
        return 404;
    }
  }

  #admit(
    request: IncomingMessage,
    socket: Duplex,
    accept: (webSocket: WebSocket, over: () => void) => void,
  ): Accept | number {
    const over = this.#strangers.enter(plainAddress(request.socket.remoteAddress));
    if (over === undefined) return 429;
    socket.once('close', over); // also when the upgrade itself fails
    return (webSocket) => accept(webSocket, over);
  }

  #acceptUser(url: URL, request: IncomingMessage): Accept | number {
    const caller = this.#deps.findCaller(request.headers.authorization);
    if (caller === undefined) return 401;
    const vmId = vmIdSchema.safeParse(url.searchParams.get('vm'));
    if (!vmId.success) return 400;
    const { userId } = caller.account;
    return (webSocket) => {
      // A VM that does not exist looks like one that is somebody else's.
      if (this.#deps.mayReach(userId, vmId.data)) this.#deps.relay.acceptUser(webSocket, userId, vmId.data);
      else closeSoon(webSocket, RELAY_CLOSE.forbidden);
    };
  }
}

const STATUS_TEXT: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  404: 'Not Found',
  429: 'Too Many Requests',
};

function refuse(socket: Duplex, status: number): void {
  socket.once('finish', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status} ${STATUS_TEXT[status] ?? ''}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
