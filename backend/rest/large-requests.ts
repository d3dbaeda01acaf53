/** Requests and answers of megabytes: few at a time, one for each person, and not for long. */
import { VmcError } from '../../shared/errors.ts';

const MAX_LARGE = 8;
/** For sending, and for reading the answer. */
const MAX_MS = 120_000;

export class LargeRequests {
  readonly #people = new Map<string, NodeJS.Timeout>();
  readonly #maxMs: number;

  constructor(maxMs = MAX_MS) {
    this.#maxMs = maxMs;
  }

  /**
   * @param cut ends one that takes too long. @returns to be called at its end; the end of one whose connection closed
   * while it waited behind another is never told, and comes with its time. @throws VmcError 'limit'.
   */
  enter(userId: string, cut: () => void): () => void {
    if (this.#people.has(userId) || this.#people.size >= MAX_LARGE)
      throw new VmcError('limit', 'Too many large requests are under way.', 'Try again in a while.');
    const leave = () => {
      clearTimeout(timer);
      if (this.#people.get(userId) === timer) this.#people.delete(userId);
    };
    const timer = setTimeout(() => {
      leave();
      cut();
    }, this.#maxMs);
    this.#people.set(userId, timer);
    return leave;
  }
}
