/** How many there are of each: sockets of a person, of an account, of an address. */
export class Tally {
  readonly #counts = new Map<string, number>();

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  /** How many keys have any. */
  get size(): number {
    return this.#counts.size;
  }

  /** One more. @returns how to take it away again (harmless when repeated). */
  add(key: string): () => void {
    this.#counts.set(key, this.of(key) + 1);
    let gone = false;
    return () => {
      if (gone) return;
      gone = true;
      const left = this.of(key) - 1;
      if (left === 0) this.#counts.delete(key);
      else this.#counts.set(key, left);
    };
  }
}
