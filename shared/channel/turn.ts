import { HandshakeFinished } from './refusal.ts';

/** Whose step it is in a single-use state machine. A step that throws is the last one. */
export class Turn<Step extends string> {
  #due: Step | undefined;

  constructor(first: Step) {
    this.#due = first;
  }

  /**
   * Takes `step`, and makes `next` due once `work` has ended well: while it waits for something, no step is due.
   * @throws HandshakeFinished when `step` is not due.
   */
  async take<T>(step: Step, next: Step | undefined, work: () => T | Promise<T>): Promise<T> {
    if (this.#due !== step) throw new HandshakeFinished(step);
    this.#due = undefined;
    const result = await work();
    this.#due = next;
    return result;
  }
}
