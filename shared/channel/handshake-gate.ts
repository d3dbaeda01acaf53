/**
 * How many handshakes run at once. Share one between all the calls of `acceptChannel` of a daemon. When all places are
 * taken, the oldest handshake goes for the newcomer: an honest one is over in a round trip or two, and one that says
 * nothing is the oldest soon. So nobody keeps others out by holding places.
 */
export class HandshakeGate {
  /** How to cut each; the oldest first. */
  readonly #running = new Set<() => void>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#running.size;
  }

  /** @param cut ends the handshake when its place is needed. @returns what to call at the end. */
  enter(cut: () => void): () => void {
    const place = () => cut();
    for (const oldest of this.#running) {
      if (this.#running.size < this.#max) break;
      this.#running.delete(oldest);
      oldest();
    }
    this.#running.add(place);
    return () => void this.#running.delete(place);
  }
}
