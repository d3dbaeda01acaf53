/** Splits a stream of bytes into lines, none of which it keeps longer than a limit. */
import { concatBytes } from '../bytes.ts';

const LF = 10;

export class LineSplitter {
  readonly #limit: number;
  #rest: Uint8Array = new Uint8Array(0);

  /** @param limit a line is handed out in pieces of at least so many bytes when it is longer. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @param each gets every line without its LF; `ended` is false for a piece. Returning false stops. */
  push(chunk: Uint8Array, each: (line: Uint8Array, ended: boolean) => boolean): boolean {
    const bytes = this.#rest.length === 0 ? chunk : concatBytes(this.#rest, chunk);
    let from = 0;
    for (let to = bytes.indexOf(LF); to !== -1; to = bytes.indexOf(LF, from)) {
      if (!each(bytes.subarray(from, to), true)) return false;
      from = to + 1;
    }
    this.#rest = bytes.slice(from);
    if (this.#rest.length < this.#limit) return true;
    return this.end(each);
  }

  /** The bytes after the last LF, if any. */
  end(each: (line: Uint8Array, ended: boolean) => boolean): boolean {
    const rest = this.#rest;
    this.#rest = new Uint8Array(0);
    return rest.length === 0 || each(rest, false);
  }
}
