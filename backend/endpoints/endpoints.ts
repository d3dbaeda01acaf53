/** All endpoints: which ports are free, whose they are, and when they have to close. */
import { randomInt } from 'node:crypto';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { makeId } from '../store/hashes.ts';
import { Endpoint, type EndpointOptions } from './endpoint.ts';

export interface EndpointLimits {
  address: string;
  firstPort: number;
  lastPort: number;
  idleSeconds: number;
  perUser: number;
  streams: number;
}

export interface EndpointRequest {
  userId: string;
  sessionId: string;
  vmId: string;
  sourceAddress: string;
  /** When the session ends: milliseconds since 1970. */
  expiresAt: number;
  target: EndpointOptions['target'];
}

interface Entry {
  endpointId: string;
  port: number;
  userId: string;
  sessionId: string;
  vmId: string;
  /** Undefined until it listens. */
  endpoint: Endpoint | undefined;
  /** Set when it had to close before it listened. */
  cancelled: boolean;
}

export class Endpoints {
  readonly #limits: EndpointLimits;
  readonly #now: () => number;
  readonly #byPort = new Map<number, Entry>();

  constructor(limits: EndpointLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** @throws VmcError 'limit' when the person has enough of them or no port is free. */
  async open(request: EndpointRequest): Promise<{ endpointId: string; port: number; expiresAt: number }> {
    const { firstPort, lastPort, perUser } = this.#limits;
    const mine = [...this.#byPort.values()].filter((entry) => entry.userId === request.userId);
    if (mine.length >= perUser)
      throw new VmcError('limit', `You have ${mine.length} endpoints open.`, 'Close one, or end a tunnel.');
    const ports = lastPort - firstPort + 1;
    const start = randomInt(ports);
    for (let i = 0; i < ports; i++) {
      const port = firstPort + ((start + i) % ports);
      if (this.#byPort.has(port)) continue;
      const entry = await this.#listen(port, request);
      if (entry === undefined) continue; // another program has that port
      return { endpointId: entry.endpointId, port, expiresAt: request.expiresAt };
    }
    throw new VmcError('limit', 'All ports for endpoints are in use.', 'Try again when a tunnel has ended.');
  }

  find(endpointId: string): { userId: string; vmId: string } | undefined {
    return this.#entry(endpointId);
  }

  async close(endpointId: string): Promise<void> {
    await this.#close(this.#entry(endpointId));
  }

  /** At sign-out. */
  async closeOfSession(sessionId: string): Promise<void> {
    await this.#closeWhere((entry) => entry.sessionId === sessionId);
  }

  async closeOfVm(vmId: string): Promise<void> {
    await this.#closeWhere((entry) => entry.vmId === vmId);
  }

  /** Somebody who may not reach a VM any more. */
  async closeOfPerson(vmId: string, userId: string): Promise<void> {
    await this.#closeWhere((entry) => entry.vmId === vmId && entry.userId === userId);
  }

  async closeAll(): Promise<void> {
    await this.#closeWhere(() => true);
  }

  async #listen(port: number, request: EndpointRequest): Promise<Entry | undefined> {
    const { userId, sessionId, vmId, sourceAddress, target } = request;
    const endpointId = makeId('ep-', 6);
    const entry: Entry = { endpointId, port, userId, sessionId, vmId, endpoint: undefined, cancelled: false };
    this.#byPort.set(port, entry); // reserved before the first await
    try {
      entry.endpoint = await Endpoint.listen({
        address: this.#limits.address,
        port,
        sourceAddress,
        target,
        maxStreams: this.#limits.streams,
        idleMs: this.#limits.idleSeconds * 1000,
        maxMs: Math.max(0, request.expiresAt - this.#now()),
        closed: () => this.#byPort.delete(port),
      });
    } catch (error) {
      this.#byPort.delete(port);
      if (isErrno(error, 'EADDRINUSE') || isErrno(error, 'EACCES')) return undefined;
      throw error;
    }
    if (entry.cancelled) {
      await entry.endpoint.close();
      throw new VmcError('cancelled', 'The endpoint was closed while it was being opened.');
    }
    return entry;
  }

  #entry(endpointId: string): Entry | undefined {
    return [...this.#byPort.values()].find((entry) => entry.endpointId === endpointId);
  }

  async #closeWhere(match: (entry: Entry) => boolean): Promise<void> {
    await Promise.all([...this.#byPort.values()].filter(match).map((entry) => this.#close(entry)));
  }

  async #close(entry: Entry | undefined): Promise<void> {
    if (entry === undefined) return;
    entry.cancelled = true;
    await entry.endpoint?.close();
  }
}
