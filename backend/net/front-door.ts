/**
 * Every TCP connection to a server, from its first packet on: how many there may be, and how long one may take to show who it
 * is. One deadline for all of it, so that nobody gets ten seconds more for each stage that they draw out: TLS, the request's
 * head, the first message of a websocket.
 */
import type { Socket } from 'node:net';
import type { Server } from 'node:tls';
import { plainAddress } from '../../shared/net/addresses.ts';
import { type Stranger, Strangers } from '../../shared/net/strangers.ts';
import { Admission } from './admission.ts';

/** One connection. */
export class Guest {
  readonly address: string;
  stranger: Stranger | undefined;
  #deadline: NodeJS.Timeout | undefined;

  constructor(address: string, deadlineMs: number, late: () => void) {
    this.address = address;
    this.#deadline = setTimeout(late, deadlineMs);
  }

  /** It has shown who it is. */
  known(): void {
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    this.stranger?.leave();
    this.stranger = undefined;
  }

  /** It has asked what anyone may ask, and was answered: it may ask again. */
  heard(): void {
    this.#deadline?.refresh();
  }
}

export interface FrontDoorLimits {
  connections: number;
  connectionsPerAddress: number;
  preAuth: number;
  preAuthPerAddress: number;
  /** From TCP's connect, or from the last request that was answered. */
  preAuthSeconds: number;
}

export class FrontDoor {
  readonly #limits: FrontDoorLimits;
  readonly #inside: Admission;
  readonly strangers: Strangers;
  /** Since the start. full: there were too many connections; late: a stranger's time was over. */
  readonly counts = { connections: 0, full: 0, late: 0, handshakes: 0, handshakeFailures: 0 };
  /** By both addresses and ports: TLS wraps the connection into an object of its own, and the backend may have many addresses. */
  readonly #guests = new Map<string, Guest>();

  constructor(limits: FrontDoorLimits) {
    this.#limits = limits;
    this.#inside = new Admission(limits.connections, limits.connectionsPerAddress);
    this.strangers = new Strangers(limits.preAuth, limits.preAuthPerAddress);
  }

  get connections(): number {
    return this.#inside.count;
  }

  guard(server: Server): void {
    server.on('connection', (socket: Socket) => this.#enter(socket));
    server.on('secureConnection', () => this.counts.handshakes++);
    server.on('tlsClientError', () => this.counts.handshakeFailures++);
  }

  /** Of a request's connection; undefined when that has gone already. */
  guest(socket: Ends): Guest | undefined {
    return this.#guests.get(nameOf(socket));
  }

  #enter(socket: Socket): void {
    const address = plainAddress(socket.remoteAddress);
    const leave = this.#inside.enter(address);
    if (leave === undefined) {
      this.counts.full++;
      socket.destroy();
      return;
    }
    this.counts.connections++;
    const name = nameOf(socket);
    const guest = new Guest(address, this.#limits.preAuthSeconds * 1000, () => {
      this.counts.late++;
      socket.destroy();
    });
    guest.stranger = this.strangers.enter(address, () => socket.destroy());
    this.#guests.set(name, guest);
    socket.once('close', () => {
      guest.known();
      leave();
      if (this.#guests.get(name) === guest) this.#guests.delete(name);
    });
  }
}

type Ends = Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort'>;

const nameOf = ({ remoteAddress, remotePort, localAddress, localPort }: Ends): string =>
  `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
