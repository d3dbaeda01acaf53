/** Remembers tickets for as long as they would pass, so that each is good once. Bounded in all and for each person. */
const MAX_TICKETS = 65_536;
const MAX_PER_USER = 4_096;

export class SpentTickets {
  /** Nonce → when it may be forgotten, and whose it was. In the order of coming, which is nearly that of forgetting. */
  readonly #spent = new Map<string, { forgetAt: number; userId: string }>();
  readonly #ofUser = new Map<string, number>();

  get size(): number {
    return this.#spent.size;
  }

  /** @returns 'full' must refuse: to forget one instead would let it be used again. */
  spend(userId: string, nonce: Uint8Array, now: number, forgetAt: number): 'new' | 'used' | 'full' {
    this.#forget(now);
    const key = nonce.toHex();
    if (this.#spent.has(key)) return 'used';
    const count = this.#ofUser.get(userId) ?? 0;
    if (this.#spent.size >= MAX_TICKETS || count >= MAX_PER_USER) return 'full';
    this.#spent.set(key, { forgetAt, userId });
    this.#ofUser.set(userId, count + 1);
    return 'new';
  }

  #forget(now: number): void {
    for (const [key, { forgetAt, userId }] of this.#spent) {
      if (forgetAt > now) return;
      this.#spent.delete(key);
      const left = (this.#ofUser.get(userId) ?? 1) - 1;
      if (left === 0) this.#ofUser.delete(userId);
      else this.#ofUser.set(userId, left);
    }
  }
}
