/** A token bucket for each address, in bounded memory. */
import { addressBlock } from '../../shared/net/addresses.ts';

const MAX_ADDRESSES = 10_000;

export class RateLimit {
  readonly #perMinute: number;
  readonly #now: () => number;
  /** Least recently used first. */
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  /** @param perMinute also what may come at once. @param now milliseconds. */
  constructor(perMinute: number, now: () => number) {
    this.#perMinute = perMinute;
    this.#now = now;
  }

  /** @returns false when this address has used up what it may. */
  allow(address: string): boolean {
    const key = addressBlock(address);
    const now = this.#now();
    const bucket = this.#buckets.get(key);
    const earned = bucket === undefined ? 0 : (Math.max(0, now - bucket.at) / 60_000) * this.#perMinute;
    const tokens = bucket === undefined ? this.#perMinute : Math.min(this.#perMinute, bucket.tokens + earned);
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: Math.max(0, tokens - 1), at: now });
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= MAX_ADDRESSES) break;
      this.#buckets.delete(oldest);
    }
    return tokens >= 1;
  }
}
