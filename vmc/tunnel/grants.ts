/**
 * Which client certificates may use the tunnel, for whom, to which ports and until when; and what goes through each. The
 * end of a grant cuts its connections.
 */
import { VmcError } from '../../shared/errors.ts';
import type { PortRange } from './parse-ports.ts';

/** A connection of a grant's device, whether it still waits for its CONNECT or carries a stream. */
export interface GrantConnection {
  /** Ends it properly: its place is needed. */
  end(): void;
  /** Cuts it at once. */
  cut(): void;
  /** So far, from the device to the port and back. */
  bytes(): Traffic;
}

/** Bytes from the device to a port of the VM, and back. */
export interface Traffic {
  bytesIn: number;
  bytesOut: number;
}

export interface Grant {
  readonly certificateSha256: string;
  /** Fingerprint of the person whose device holds the certificate. */
  readonly person: string;
  /** What it leads to: decided when it is opened, or renewed. */
  readonly ports: readonly PortRange[];
  /** Unix time in milliseconds, as is expiresAt. */
  readonly openedAt: number;
  readonly expiresAt: number;
}

/** Streams open now and ever; bytes of all of them. */
export interface GrantUse extends Traffic {
  streams: number;
  streamsTotal: number;
}

/** Why a grant ended: its device asked for it, its time was over, its person's rights shrank, vmc stops. */
export type GrantEnd = 'closed' | 'expired' | 'revoked' | 'stopped';

export interface GrantLimits {
  lifetimeMs: number;
  maxGrantsPerPerson: number;
  maxStreamsPerGrant: number;
  /** Of all their grants together: each that nobody reads holds some hundred KiB of memory. */
  maxStreamsPerPerson: number;
  /** Connections of one grant that carry no stream; for one more the oldest goes. */
  readyPerGrant: number;
}

interface Entry {
  grant: Grant;
  timer: NodeJS.Timeout;
  /** The oldest first. */
  readonly waiting: Set<GrantConnection>;
  readonly streams: Set<GrantConnection>;
  /** Of streams that are over. */
  readonly past: Traffic;
  streamsTotal: number;
}

export class Grants {
  readonly #entries = new Map<string, Entry>();
  readonly #limits: GrantLimits;
  readonly #clock: () => number;
  readonly #onEnd: (grant: Grant, use: GrantUse, why: GrantEnd) => void;

  /** @param onEnd told of each grant that has ended, with what it had open until then. */
  constructor(
    limits: GrantLimits,
    clock: () => number,
    onEnd: (grant: Grant, use: GrantUse, why: GrantEnd) => void = () => {},
  ) {
    this.#limits = limits;
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Makes a grant, or renews the person's own: its counters and streams go on. @throws VmcError 'already-exists', 'limit'. */
  open(certificateSha256: string, person: string, ports: readonly PortRange[]): Grant {
    const known = this.#entries.get(certificateSha256);
    if (known !== undefined && known.grant.person !== person)
      throw new VmcError('already-exists', 'That certificate is in use.', 'Make a new one.');
    if (known === undefined && this.#countOf(person) >= this.#limits.maxGrantsPerPerson)
      throw new VmcError(
        'limit',
        `You already have ${this.#limits.maxGrantsPerPerson} tunnels to this VM.`,
        'Close one of them first.',
      );
    const now = this.#clock();
    const expiresAt = now + this.#limits.lifetimeMs;
    const grant = { certificateSha256, person, ports, openedAt: known?.grant.openedAt ?? now, expiresAt };
    const timer = setTimeout(() => this.#end(certificateSha256, 'expired'), this.#limits.lifetimeMs).unref();
    if (known === undefined) {
      const past = { bytesIn: 0, bytesOut: 0 };
      this.#entries.set(certificateSha256, {
        ...{ grant, timer, past },
        ...{ waiting: new Set(), streams: new Set(), streamsTotal: 0 },
      });
    } else {
      clearTimeout(known.timer);
      Object.assign(known, { grant, timer });
    }
    return grant;
  }

  /** The live grant of a certificate. */
  find(certificateSha256: string): Grant | undefined {
    return this.#live(certificateSha256)?.grant;
  }

  /** A connection that has shown its certificate. @returns false: there is no such grant (any more). */
  addWaiting(certificateSha256: string, connection: GrantConnection): boolean {
    const entry = this.#live(certificateSha256);
    if (entry === undefined) return false;
    const [oldest] = entry.waiting;
    if (oldest !== undefined && entry.waiting.size >= this.#limits.readyPerGrant) {
      entry.waiting.delete(oldest);
      oldest.end();
    }
    entry.waiting.add(connection);
    return true;
  }

  /** One that waited is a stream from now on. @returns false when its grant or person has as many as they may: it goes on waiting. */
  becomeStream(certificateSha256: string, connection: GrantConnection): boolean {
    const entry = this.#live(certificateSha256);
    const { maxStreamsPerGrant, maxStreamsPerPerson } = this.#limits;
    if (entry === undefined || entry.streams.size >= maxStreamsPerGrant) return false;
    if (this.#streamsOf(entry.grant.person) >= maxStreamsPerPerson) return false;
    entry.waiting.delete(connection);
    entry.streams.add(connection);
    entry.streamsTotal++;
    return true;
  }

  /** It is over. Harmless when repeated, and after the grant's end. */
  remove(certificateSha256: string, connection: GrantConnection): void {
    const entry = this.#entries.get(certificateSha256);
    if (entry === undefined) return;
    entry.waiting.delete(connection);
    if (entry.streams.delete(connection)) addTo(entry.past, connection.bytes());
  }

  /** @param person only theirs. @returns by certificate, in order. */
  list(person?: string): (Grant & GrantUse)[] {
    return [...this.#entries.values()]
      .filter(({ grant }) => person === undefined || grant.person === person)
      .map((entry) => ({ ...entry.grant, ...useOf(entry) }))
      .sort((a, b) => (a.certificateSha256 < b.certificateSha256 ? -1 : 1));
  }

  /** Ends a person's own grant. @returns how many streams were cut. @throws VmcError 'not-found'. */
  close(certificateSha256: string, person: string): number {
    if (this.#entries.get(certificateSha256)?.grant.person !== person)
      throw new VmcError('not-found', 'There is no such tunnel.', 'It may have expired.');
    return this.#end(certificateSha256, 'closed');
  }

  /** Ends all grants of a person whose rights shrank. @returns how many streams were cut. */
  closeOf(person: string): number {
    return [...this.#entries.values()]
      .filter(({ grant }) => grant.person === person)
      .reduce((cut, { grant }) => cut + this.#end(grant.certificateSha256, 'revoked'), 0);
  }

  closeAll(): void {
    for (const certificateSha256 of [...this.#entries.keys()]) this.#end(certificateSha256, 'stopped');
  }

  /** Whatever the timer does, nothing begins after the expiry. */
  #live(certificateSha256: string): Entry | undefined {
    const entry = this.#entries.get(certificateSha256);
    return entry !== undefined && entry.grant.expiresAt > this.#clock() ? entry : undefined;
  }

  #countOf(person: string): number {
    return [...this.#entries.values()].filter(({ grant }) => grant.person === person).length;
  }

  #streamsOf(person: string): number {
    let count = 0;
    for (const { grant, streams } of this.#entries.values()) if (grant.person === person) count += streams.size;
    return count;
  }

  #end(certificateSha256: string, why: GrantEnd): number {
    const entry = this.#entries.get(certificateSha256);
    if (entry === undefined) return 0;
    this.#entries.delete(certificateSha256);
    clearTimeout(entry.timer);
    const use = useOf(entry);
    for (const connection of [...entry.waiting, ...entry.streams]) connection.cut();
    this.#onEnd(entry.grant, use, why);
    return use.streams;
  }
}

function useOf({ streams, streamsTotal, past }: Entry): GrantUse {
  const traffic = { ...past };
  for (const stream of streams) addTo(traffic, stream.bytes());
  return { streams: streams.size, streamsTotal, ...traffic };
}

function addTo(sum: Traffic, { bytesIn, bytesOut }: Traffic): void {
  sum.bytesIn += bytesIn;
  sum.bytesOut += bytesOut;
}
