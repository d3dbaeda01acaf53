/** How long to wait before the next attempt: doubling, capped, and random in its whole width, so that a thousand peers do not come back in step. */
export interface Backoff {
  /** Milliseconds to wait now; the next answer will be from a wider range. */
  next(): number;
  /** It worked. */
  reset(): void;
}

/** @param random 0 ≤ x < 1. */
export function makeBackoff(random: () => number, firstMs = 500, mostMs = 30_000): Backoff {
  let ceiling = firstMs;
  return {
    next() {
      const wait = ceiling / 4 + random() * ceiling * 0.75;
      ceiling = Math.min(ceiling * 2, mostMs);
      return Math.round(wait);
    },
    reset() {
      ceiling = firstMs;
    },
  };
}
