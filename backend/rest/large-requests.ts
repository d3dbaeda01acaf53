/** Requests and answers of megabytes: few at a time, one for each person, and not for long. */
import { VmcError } from '../../shared/errors.ts';

const MAX_LARGE = 8;
/** For sending, and for reading the answer. */
const MAX_MS = 120_000;

export class LargeRequests {
  readonly #people = new Set<string>();

  /** @param cut ends one that takes too long. @returns to be called at its end. @throws VmcError 'limit'. */
  enter(userId: string, cut: () => void): () => void {
    if (this.#people.has(userId) || this.#people.size >= MAX_LARGE)
      throw new VmcError('limit', 'Too many large requests are under way.', 'Try again in a while.');
    this.#people.add(userId);
    const timer = setTimeout(cut, MAX_MS);
    return () => {
      clearTimeout(timer);
      this.#people.delete(userId);
    };
  }
}
