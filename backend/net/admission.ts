/** How many may be inside at once: in all, and from one address. */
import { addressBlock } from './addresses.ts';

export class Admission {
  readonly #total: number;
  readonly #perAddress: number;
  readonly #inside = new Map<string, number>();
  #count = 0;

  constructor(total: number, perAddress: number) {
    this.#total = total;
    this.#perAddress = perAddress;
  }

  /** @returns how to leave again (harmless when repeated), or undefined when it is full. */
  enter(address: string): (() => void) | undefined {
    const block = addressBlock(address);
    const here = this.#inside.get(block) ?? 0;
    if (this.#count >= this.#total || here >= this.#perAddress) return undefined;
    this.#count++;
    this.#inside.set(block, here + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#count--;
      const now = (this.#inside.get(block) ?? 1) - 1;
      if (now === 0) this.#inside.delete(block);
      else this.#inside.set(block, now);
    };
  }
}
