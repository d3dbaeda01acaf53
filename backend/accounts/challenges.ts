/** Challenges to sign at sign-in: each works once, for a minute. */
import { randomBytes } from 'node:crypto';
import { toBase64 } from '../../shared/names.ts';

const LIFETIME_MS = 60_000;
/** A stranger can make them: beyond this the oldest are forgotten. Signing takes a fraction of a second. */
const MAX_OPEN = 10_000;

export class Challenges {
  readonly #now: () => number;
  /** Challenge → when it ends; the oldest first. */
  readonly #open = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  make(): Uint8Array {
    const challenge = new Uint8Array(randomBytes(32));
    this.#open.set(toBase64(challenge), this.#now() + LIFETIME_MS);
    for (const oldest of this.#open.keys()) {
      if (this.#open.size <= MAX_OPEN) break;
      this.#open.delete(oldest);
    }
    return challenge;
  }

  /** @returns whether it was made here within the last minute and is used for the first time. */
  use(challenge: Uint8Array): boolean {
    const key = toBase64(challenge);
    const endsAt = this.#open.get(key);
    this.#open.delete(key);
    return endsAt !== undefined && this.#now() < endsAt;
  }
}
