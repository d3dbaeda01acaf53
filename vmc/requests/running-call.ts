/** One call that runs, for whoever waits for its answer: over one channel, over several, or for a while over none. */
import { VmcError } from '../../shared/errors.ts';
import type { CallContext, Progress } from '../../shared/rpc/method.ts';

export class RunningCall {
  /** What came of it, whoever waits. */
  readonly answer: Promise<unknown>;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<(progress: Progress) => void>();
  readonly #graceMs: number;
  #last: Progress | undefined;
  #grace: NodeJS.Timeout | undefined;
  #over = false;
  /** Why this side ended it. */
  #stopped: VmcError | undefined;

  /** @param graceMs how long it runs on when nobody waits any more. */
  constructor(work: (context: CallContext) => Promise<unknown>, graceMs: number) {
    this.#graceMs = graceMs;
    const context: CallContext = {
      signal: this.#abort.signal,
      progress: (progress) => {
        this.#last = progress;
        for (const listener of this.#listeners) listener(progress);
      },
    };
    this.answer = this.#run(() => work(context));
    this.answer.catch(() => {}); // it may end while nobody waits
  }

  /** The answer. Until then the caller gets progress, can cancel, and may be cut off. */
  async wait({ signal, progress }: CallContext): Promise<unknown> {
    clearTimeout(this.#grace);
    this.#listeners.add(progress);
    if (this.#last !== undefined) progress(this.#last);
    const leave = () => {
      this.#listeners.delete(progress);
      const why: unknown = signal.reason;
      if (!(why instanceof VmcError && why.code === 'channel-closed')) this.#abort.abort(why);
      else if (this.#listeners.size === 0 && !this.#over) this.#startGrace();
    };
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
    try {
      return await this.answer;
    } finally {
      signal.removeEventListener('abort', leave);
      this.#listeners.delete(progress);
    }
  }

  /** Aborts it. If it ends by that, it fails with `why`. */
  stop(why: VmcError): void {
    this.#stopped ??= why;
    this.#abort.abort(why);
  }

  async #run(work: () => Promise<unknown>): Promise<unknown> {
    try {
      return await work();
    } catch (error) {
      if (this.#stopped === undefined || (error instanceof VmcError && error.code !== 'cancelled')) throw error;
      throw new VmcError(this.#stopped.code, this.#stopped.message, this.#stopped.hint, { cause: error });
    } finally {
      this.#over = true;
      clearTimeout(this.#grace);
    }
  }

  #startGrace(): void {
    const away = new VmcError(
      'cancelled',
      `It was stopped: whoever asked for it was away for ${Math.round(this.#graceMs / 1000)} s.`,
      'Look at what has become of it before you ask again.',
    );
    this.#grace = setTimeout(() => this.stop(away), this.#graceMs);
    this.#grace.unref();
  }
}
