/** How long to wait before the next attempt: doubling from 0.5 s to 30 s, with jitter so that a thousand VMs do not come at once. */

const FIRST_MS = 500;
const MOST_MS = 30_000;

export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  /** @param random 0 ≤ n < 1. */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Milliseconds, between half and all of the present step. */
  next(): number {
    const step = Math.min(FIRST_MS * 2 ** this.#failures, MOST_MS);
    if (step < MOST_MS) this.#failures++;
    return step * (0.5 + this.#random() / 2);
  }

  /** It worked. */
  reset(): void {
    this.#failures = 0;
  }
}
