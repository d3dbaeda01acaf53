/** What the relay sees, for whoever wants to look: every byte it receives, appended to a file. Off unless configured. */
import { closeSync, constants, fchmodSync, openSync, writeSync } from 'node:fs';

export class Capture {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(
      path,
      constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW,
      0o600,
    );
    fchmodSync(this.#file, 0o600);
  }

  /** Waits for the disk: nothing is buffered without bound. */
  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
  }

  close(): void {
    closeSync(this.#file);
  }
}
