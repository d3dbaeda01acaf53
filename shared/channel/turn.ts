import { HandshakeFinished } from './refusal.ts';

/** Whose step it is in a single-use state machine. A step that throws is the last one. */
export class Turn<Step extends string> {
  #due: Step | undefined;

  constructor(first: Step) {
    this.#due = first;
  }

  /** Takes `step`, and makes `next` due if `work` ends well. @throws HandshakeFinished when `step` is not due. */
  take<T>(step: Step, next: Step | undefined, work: () => T): T {
    if (this.#due !== step) throw new HandshakeFinished(step);
    this.#due = undefined;
    const result = work();
    this.#due = next;
    return result;
  }
}
