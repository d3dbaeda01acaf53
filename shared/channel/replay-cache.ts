/**
 * Remembers hellos for as long as they would pass as fresh. A replayed hello opens nothing anyway (its ephemeral keys
 * are gone, so nobody can confirm); this saves the work and keeps the audit log true. Bounded in all and for each
 * person: only people whose rights were checked are remembered, and neither one nor several of them crowd out the others.
 */
import { concatBytes } from '../bytes.ts';
import { FRESHNESS_MS } from './limits.ts';

/** A hello may be 5 minutes ahead and is fresh until 5 minutes behind; one minute more for a handshake under way. */
const REMEMBER_MS = 2 * FRESHNESS_MS + 60_000;

export interface ReplayCacheOptions {
  /** Hellos remembered in all (default 32,768: a few MiB). */
  maxEntries?: number;
  /** Hellos remembered for one person (default 4,096: six a second). */
  maxPerPeer?: number;
  /** Hellos that one person may always have remembered, also when several others fill the cache (default 64). */
  alwaysPerPeer?: number;
}

export class ReplayCache {
  readonly #forgetAt = new Map<string, { at: number; peer: string }>();
  readonly #perPeer = new Map<string, number>();
  readonly #maxEntries: number;
  readonly #maxPerPeer: number;
  readonly #alwaysPerPeer: number;

  constructor({ maxEntries = 32_768, maxPerPeer = 4_096, alwaysPerPeer = 64 }: ReplayCacheOptions = {}) {
    this.#maxEntries = maxEntries;
    this.#maxPerPeer = maxPerPeer;
    this.#alwaysPerPeer = alwaysPerPeer;
  }

  get size(): number {
    return this.#forgetAt.size;
  }

  has(peer: Uint8Array, nonce: Uint8Array): boolean {
    return this.#forgetAt.has(keyOf(peer, nonce));
  }

  /**
   * Checks and remembers in one step, so that of two copies that arrive together one is refused.
   * @returns 'new', 'replayed', or 'full' (refuse then: forgetting instead would let replays in).
   */
  add(peer: Uint8Array, nonce: Uint8Array, now: number): 'new' | 'replayed' | 'full' {
    this.#forget(now);
    const key = keyOf(peer, nonce);
    if (this.#forgetAt.has(key)) return 'replayed';
    const name = peer.toBase64();
    const count = this.#perPeer.get(name) ?? 0;
    const isFull = this.#forgetAt.size >= this.#maxEntries;
    if (count >= this.#maxPerPeer || (isFull && count >= this.#alwaysPerPeer)) return 'full';
    this.#forgetAt.set(key, { at: now + REMEMBER_MS, peer: name });
    this.#perPeer.set(name, count + 1);
    return 'new';
  }

  /** A Map keeps the order of insertion, which is the order of `at`. */
  #forget(now: number): void {
    for (const [key, { at, peer }] of this.#forgetAt) {
      if (at > now) return;
      this.#forgetAt.delete(key);
      const left = (this.#perPeer.get(peer) ?? 1) - 1;
      if (left === 0) this.#perPeer.delete(peer);
      else this.#perPeer.set(peer, left);
    }
  }
}

const keyOf = (peer: Uint8Array, nonce: Uint8Array): string => concatBytes(peer, nonce).toBase64();
