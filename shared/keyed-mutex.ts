/** One piece of work at a time for each key (a VM, a drive), first come, first served. */
import { VmcError } from './errors.ts';

export class KeyedMutex {
  /** A key that is held → those who wait for it. */
  readonly #held = new Map<string, (() => void)[]>();
  readonly #maxWaiting: number;

  /** @param maxWaiting how many may queue for one key; more are refused. */
  constructor(maxWaiting = 16) {
    this.#maxWaiting = maxWaiting;
  }

  isBusy(key: string): boolean {
    return this.#held.has(key);
  }

  /**
   * Runs `work` while it alone holds all the keys. They are taken in sorted order, so two callers never wait for each other.
   * @throws VmcError 'busy' when too many wait already.
   */
  async run<T>(keys: string | readonly string[], work: () => Promise<T>): Promise<T> {
    const wanted = typeof keys === 'string' ? [keys] : [...new Set(keys)].sort();
    const taken: string[] = [];
    try {
      for (const key of wanted) {
        await this.#take(key);
        taken.push(key);
      }
      return await work();
    } finally {
      for (const key of taken.reverse()) this.#release(key);
    }
  }

  async #take(key: string): Promise<void> {
    const waiting = this.#held.get(key);
    if (waiting === undefined) {
      this.#held.set(key, []);
      return;
    }
    if (waiting.length >= this.#maxWaiting)
      throw new VmcError('busy', `Too much is waiting for ${key} already.`, 'Try again when it has calmed down.');
    await new Promise<void>((resolve) => waiting.push(resolve));
  }

  #release(key: string): void {
    const next = this.#held.get(key)?.shift();
    if (next === undefined) this.#held.delete(key);
    else next(); // the key stays held: it passes on
  }
}
