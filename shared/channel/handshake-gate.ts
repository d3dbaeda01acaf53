/** How many handshakes run at once. Share one between all the calls of `acceptChannel` of a daemon. */
export class HandshakeGate {
  #running = 0;
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** @returns what to call at the end, or undefined when there is no place. */
  enter(): (() => void) | undefined {
    if (this.#running >= this.#max) return undefined;
    this.#running += 1;
    let inside = true;
    return () => {
      if (inside) this.#running -= 1;
      inside = false;
    };
  }
}
