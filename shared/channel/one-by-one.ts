/** Runs async jobs in the order in which they were given, one at a time. A job that fails does not stop the next. */
export class OneByOne {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(job: () => Promise<T> | T): Promise<T> {
    const result = this.#last.then(job);
    this.#last = result.catch(() => {});
    return result;
  }
}
