/**
 * Connections that have not shown yet who they are. There is room for so many, in all and from one address; a newcomer takes
 * the place of the oldest rather than being refused. Who is quick gets in, also from behind an address that others crowd:
 * an honest peer needs a fraction of a second, and one that says nothing is the oldest soon.
 */
import { addressBlock } from './addresses.ts';

export interface Stranger {
  /** It is one no longer: it has shown who it is, or has gone. Harmless when repeated. */
  leave(): void;
}

export class Strangers {
  readonly #total: number;
  readonly #perAddress: number;
  /** By address; the oldest of each first. */
  readonly #blocks = new Map<string, Set<() => void>>();
  #count = 0;
  /** Those that had to go for a newcomer. */
  evicted = 0;

  constructor(total: number, perAddress: number) {
    this.#total = total;
    this.#perAddress = perAddress;
  }

  get count(): number {
    return this.#count;
  }

  /** @param cut ends the connection when its place is needed. */
  enter(address: string, cut: () => void): Stranger {
    const name = addressBlock(address);
    const here = this.#blocks.get(name);
    if (here !== undefined && here.size >= this.#perAddress) this.#evict(here);
    else if (this.#count >= this.#total) this.#evict(this.#fullest());
    const block = this.#blocks.get(name) ?? new Set();
    this.#blocks.set(name, block);
    const evict = () => {
      leave();
      cut();
    };
    const leave = () => {
      if (!block.delete(evict)) return;
      this.#count--;
      if (block.size === 0) this.#blocks.delete(name);
    };
    block.add(evict);
    this.#count++;
    return { leave };
  }

  #evict(block: Set<() => void> | undefined): void {
    for (const oldest of block ?? []) {
      this.evicted++;
      oldest();
      return;
    }
  }

  /** Who crowds pays: an address with few keeps them while another has many. At most `total` addresses are here. */
  #fullest(): Set<() => void> | undefined {
    let fullest: Set<() => void> | undefined;
    for (const block of this.#blocks.values()) if (block.size > (fullest?.size ?? 0)) fullest = block;
    return fullest;
  }
}
