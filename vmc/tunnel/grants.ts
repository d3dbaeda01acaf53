/** Which client certificates may use the tunnel, for whom and until when. The end of a grant cuts its streams. */
import { VmcError } from '../../shared/errors.ts';

/** A live stream: `destroy` cuts it at once. */
export interface Cuttable {
  destroy(): void;
}

export interface Grant {
  readonly certificateSha256: string;
  /** Fingerprint of the person whose device holds the certificate. */
  readonly person: string;
  /** Unix time in milliseconds. */
  expiresAt: number;
  readonly streams: Set<Cuttable>;
}

export interface GrantLimits {
  lifetimeMs: number;
  maxGrantsPerPerson: number;
  maxStreamsPerGrant: number;
}

interface Entry {
  grant: Grant;
  timer: NodeJS.Timeout;
}

export class Grants {
  readonly #entries = new Map<string, Entry>();
  readonly #limits: GrantLimits;
  readonly #clock: () => number;

  constructor(limits: GrantLimits, clock: () => number) {
    this.#limits = limits;
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Makes a grant, or renews the person's own. @throws VmcError 'already-exists', 'limit'. */
  open(certificateSha256: string, person: string): Grant {
    const known = this.#entries.get(certificateSha256)?.grant;
    if (known !== undefined && known.person !== person)
      throw new VmcError('already-exists', 'That certificate is in use.', 'Make a new one.');
    if (known === undefined && this.#countOf(person) >= this.#limits.maxGrantsPerPerson)
      throw new VmcError(
        'limit',
        `You already have ${this.#limits.maxGrantsPerPerson} tunnels to this VM.`,
        'Close one of them first.',
      );
    const expiresAt = this.#clock() + this.#limits.lifetimeMs;
    const grant = known ?? { certificateSha256, person, expiresAt, streams: new Set() };
    grant.expiresAt = expiresAt;
    clearTimeout(this.#entries.get(certificateSha256)?.timer);
    const timer = setTimeout(() => this.#end(certificateSha256), this.#limits.lifetimeMs).unref();
    this.#entries.set(certificateSha256, { grant, timer });
    return grant;
  }

  /** The live grant of a certificate. */
  find(certificateSha256: string): Grant | undefined {
    const grant = this.#entries.get(certificateSha256)?.grant;
    return grant !== undefined && grant.expiresAt > this.#clock() ? grant : undefined;
  }

  /** Adds a stream, to be cut with the grant. @returns false when the grant has as many as it may. */
  addStream(grant: Grant, stream: Cuttable): boolean {
    if (this.find(grant.certificateSha256) !== grant || grant.streams.size >= this.#limits.maxStreamsPerGrant)
      return false;
    grant.streams.add(stream);
    return true;
  }

  /** Ends a person's own grant. @returns how many streams were cut. @throws VmcError 'not-found'. */
  close(certificateSha256: string, person: string): number {
    if (this.#entries.get(certificateSha256)?.grant.person !== person)
      throw new VmcError('not-found', 'There is no such tunnel.', 'It may have expired.');
    return this.#end(certificateSha256);
  }

  /** Ends all grants of a person whose rights shrank. @returns how many streams were cut. */
  closeOf(person: string): number {
    return [...this.#entries.values()]
      .filter(({ grant }) => grant.person === person)
      .reduce((cut, { grant }) => cut + this.#end(grant.certificateSha256), 0);
  }

  closeAll(): void {
    for (const certificateSha256 of [...this.#entries.keys()]) this.#end(certificateSha256);
  }

  #countOf(person: string): number {
    return [...this.#entries.values()].filter(({ grant }) => grant.person === person).length;
  }

  #end(certificateSha256: string): number {
    const entry = this.#entries.get(certificateSha256);
    if (entry === undefined) return 0;
    this.#entries.delete(certificateSha256);
    clearTimeout(entry.timer);
    const streams = [...entry.grant.streams];
    entry.grant.streams.clear();
    for (const stream of streams) stream.destroy();
    return streams.length;
  }
}
