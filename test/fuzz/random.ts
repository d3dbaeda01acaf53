/** Repeatable randomness: the same words give the same numbers, on every machine. Not for secrets. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** @param words what the numbers follow from: a seed, the name of a target, … */
  constructor(...words: readonly (string | number)[]) {
    // FNV-1a over the words, three times with different starts.
    const hash = (start: number) => {
      let state = start;
      for (const char of words.join('\n')) state = Math.imul(state ^ (char.codePointAt(0) ?? 0), 0x01000193);
      return state | 0;
    };
    [this.#a, this.#b, this.#c] = [hash(0x811c9dc5), hash(0x1234567), hash(0x2f6e2b1)];
    for (let i = 0; i < 12; i++) this.next();
  }

  /** sfc32 (PractRand): 0 to 2^32 - 1. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor((this.next() / 0x1_0000_0000) * limit);
  }

  chance(probability: number): boolean {
    return this.next() < probability * 0x1_0000_0000;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  /** Mostly short, now and then long: sizes of what is inserted, removed and repeated. */
  size(limit: number): number {
    return 1 + this.below(Math.max(1, Math.min(limit, 1 << this.below(1 + this.below(17)))));
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let i = 0; i < count; i++) bytes[i] = this.next() & 0xff;
    return bytes;
  }
}
