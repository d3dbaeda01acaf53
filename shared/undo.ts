/** Last in, first out: what was done is undone in reverse when a later step fails. */
export class Undo {
  readonly #steps: { what: string; step: () => Promise<void> | void }[] = [];

  add(what: string, step: () => Promise<void> | void): void {
    this.#steps.push({ what, step });
  }

  /** All went well: forget the steps. */
  commit(): void {
    this.#steps.length = 0;
  }

  /** Runs every step, also after one of them failed. @returns the failures, for the caller to report. */
  async rollBack(): Promise<{ what: string; error: unknown }[]> {
    const failures: { what: string; error: unknown }[] = [];
    for (let entry = this.#steps.pop(); entry !== undefined; entry = this.#steps.pop()) {
      try {
        await entry.step();
      } catch (error) {
        failures.push({ what: entry.what, error });
      }
    }
    return failures;
  }
}
