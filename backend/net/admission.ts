/** How many may be inside at once: in all, and from one address. */
import { addressBlock } from '../../shared/net/addresses.ts';
import { Tally } from './tally.ts';

export class Admission {
  readonly #total: number;
  readonly #perAddress: number;
  readonly #inside = new Tally();
  #count = 0;

  constructor(total: number, perAddress: number) {
    this.#total = total;
    this.#perAddress = perAddress;
  }

  get count(): number {
    return this.#count;
  }

  /** @returns how to leave again (harmless when repeated), or undefined when it is full. */
  enter(address: string): (() => void) | undefined {
    const block = addressBlock(address);
    if (this.#count >= this.#total || this.#inside.of(block) >= this.#perAddress) return undefined;
    this.#count++;
    const forget = this.#inside.add(block);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#count--;
      forget();
    };
  }
}
