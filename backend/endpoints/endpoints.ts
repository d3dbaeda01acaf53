/** All endpoints: which ports are free, whose they are, and when they have to close. */
import { randomInt } from 'node:crypto';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { makeId } from '../store/hashes.ts';
import { Endpoint, type EndpointOptions, type EndpointUse } from './endpoint.ts';
import { EndpointMetrics } from './endpoint-metrics.ts';

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

interface Entry extends EndpointRequest {
  endpointId: string;
  port: number;
  openedAt: number;
  /** Undefined until it listens. */
  endpoint: Endpoint | undefined;
  /** Set when it had to close before it listened. */
  cancelled: boolean;
}

export interface EndpointState extends EndpointUse {
  endpointId: string;
  userId: string;
  vmId: string;
  port: number;
  sourceAddress: string;
  openedAt: number;
  expiresAt: number;
}

export class Endpoints {
  readonly metrics = new EndpointMetrics();
  readonly #limits: EndpointLimits;
  readonly #now: () => number;
  /** From the moment that one is asked for, so that what ends it then finds it. */
  readonly #entries = new Map<string, Entry>();

  constructor(limits: EndpointLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** @throws VmcError 'limit' when the person has enough of them or no port is free, 'cancelled' when it had to close meanwhile. */
  async open(request: EndpointRequest): Promise<EndpointState> {
    const { firstPort, lastPort, perUser } = this.#limits;
    const mine = [...this.#entries.values()].filter((entry) => entry.userId === request.userId);
    if (mine.length >= perUser)
      throw new VmcError(
        'limit',
        `You have ${mine.length} endpoints open.`,
        'Close one: connect endpoint list shows them.',
      );
    const endpointId = makeId('ep-', 6);
    const openedAt = this.#now();
    const entry: Entry = { ...request, endpointId, port: 0, openedAt, endpoint: undefined, cancelled: false };
    this.#entries.set(endpointId, entry); // before the first await
    try {
      const ports = lastPort - firstPort + 1;
      const start = randomInt(ports);
      for (let i = 0; i < ports; i++) {
        const port = firstPort + ((start + i) % ports);
        if ([...this.#entries.values()].some((other) => other.port === port)) continue;
        entry.port = port;
        entry.endpoint = await this.#listen(entry);
        if (entry.cancelled) throw new VmcError('cancelled', 'The endpoint was closed while it was being opened.');
        if (entry.endpoint !== undefined) return describe(entry, entry.endpoint);
      }
      throw new VmcError('limit', 'All ports for endpoints are in use.', 'Try again when a tunnel has ended.');
    } catch (error) {
      await entry.endpoint?.close();
      this.#entries.delete(endpointId);
      throw error;
    }
  }

  find(endpointId: string): EndpointState | undefined {
    const entry = this.#entries.get(endpointId);
    return entry?.endpoint && describe(entry, entry.endpoint);
  }

  /** Those that listen, oldest first. */
  list(): EndpointState[] {
    return [...this.#entries.values()].flatMap((entry) => (entry.endpoint ? [describe(entry, entry.endpoint)] : []));
  }

  /** Cuts its streams. One that is not there is fine. */
  async close(endpointId: string): Promise<void> {
    await this.#closeWhere((entry) => entry.endpointId === endpointId);
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

  /** @returns undefined when another program has that port. */
  async #listen(entry: Entry): Promise<Endpoint | undefined> {
    const { endpointId, port, sourceAddress, target, expiresAt } = entry;
    const { metrics } = this;
    try {
      const endpoint = await Endpoint.listen({
        address: this.#limits.address,
        port,
        sourceAddress,
        target,
        maxStreams: this.#limits.streams,
        idleMs: this.#limits.idleSeconds * 1000,
        maxMs: Math.max(0, expiresAt - this.#now()),
        metrics,
        closed: () => {
          metrics.endpoints--;
          this.#entries.delete(endpointId);
        },
      });
      metrics.endpoints++;
      metrics.endpointsTotal++;
      return endpoint;
    } catch (error) {
      if (isErrno(error, 'EADDRINUSE') || isErrno(error, 'EACCES')) return undefined;
      throw error;
    }
  }

  async #closeWhere(match: (entry: Entry) => boolean): Promise<void> {
    await Promise.all(
      [...this.#entries.values()].filter(match).map((entry) => {
        entry.cancelled = true; // open() looks at it when it comes back from listening
        return entry.endpoint?.close();
      }),
    );
  }
}

function describe(entry: Entry, endpoint: Endpoint): EndpointState {
  const { endpointId, userId, vmId, port, sourceAddress, openedAt, expiresAt } = entry;
  return { endpointId, userId, vmId, port, sourceAddress, openedAt, expiresAt, ...endpoint.use };
}
