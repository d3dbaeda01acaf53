/** How many connections may be open that have not yet shown a known certificate: overall, and from one address. */

export class PreAuthLimit {
  readonly #byAddress = new Map<string, number>();
  readonly #most: number;
  readonly #mostPerAddress: number;
  #total = 0;

  constructor(most: number, mostPerAddress: number) {
    this.#most = most;
    this.#mostPerAddress = mostPerAddress;
  }

  /** @returns a function that gives the place back (once; more calls do nothing), or undefined when there is none. */
  enter(address: string): (() => void) | undefined {
    const count = this.#byAddress.get(address) ?? 0;
    if (this.#total >= this.#most || count >= this.#mostPerAddress) return undefined;
    this.#total++;
    this.#byAddress.set(address, count + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#total--;
      const rest = (this.#byAddress.get(address) ?? 1) - 1;
      if (rest === 0) this.#byAddress.delete(address);
      else this.#byAddress.set(address, rest);
    };
  }
}
