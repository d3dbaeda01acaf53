/** Upgrades to websockets: which path leads where, and who is turned away before there is a websocket. */
import type { IncomingMessage } from 'node:http';
import type { Server } from 'node:https';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { plainAddress } from '../../shared/net/addresses.ts';
import { RELAY_MAX_MESSAGE } from '../../shared/relay-wire.ts';
import type { FrontDoor } from './front-door.ts';
import type { RateLimit } from './rate-limit.ts';

/** Takes the websocket. `known` says that its peer has shown who it is. */
export type Accept = (socket: WebSocket, known: () => void) => void;
/** @returns what to do with the websocket, or the HTTP status of the refusal. */
export type Entrance = (request: IncomingMessage) => Accept | number;

export interface UpgradesDeps {
  frontDoor: FrontDoor;
  /** By path. */
  entrances: Readonly<Record<string, Entrance>>;
  /** By address: who is refused more often than this is answered with 429 whatever they did. */
  refusals: RateLimit;
  /** Somebody was answered with 429. */
  rated?: () => void;
}

export class Upgrades {
  readonly #deps: UpgradesDeps;
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: RELAY_MAX_MESSAGE,
    perMessageDeflate: false,
    clientTracking: true,
  });

  constructor(deps: UpgradesDeps) {
    this.#deps = deps;
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
    const guest = this.#deps.frontDoor.guest(request.socket);
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const entrance = Object.hasOwn(this.#deps.entrances, path) ? this.#deps.entrances[path] : undefined;
    const accept = entrance?.(request) ?? 404;
    if (typeof accept === 'number') this.#refuse(request, socket, accept);
    else
      this.#server.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.on('error', () => {}); // 'close' follows
        accept(webSocket, () => guest?.known());
      });
  }

  #refuse(request: IncomingMessage, socket: Duplex, wanted: number): void {
    const status = this.#deps.refusals.allow(plainAddress(request.socket.remoteAddress)) ? wanted : 429;
    if (status === 429) this.#deps.rated?.();
    socket.once('finish', () => socket.destroy());
    socket.end(`HTTP/1.1 ${status} ${STATUS_TEXT[status] ?? ''}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  }
}

const STATUS_TEXT: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  404: 'Not Found',
  429: 'Too Many Requests',
};
