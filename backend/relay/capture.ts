/** What the relay sees, for whoever wants to look: every byte it receives, appended to a file. Off unless configured. */
import { closeSync, constants, fchmodSync, fstatSync, openSync, writeSync } from 'node:fs';
import { VmcError } from '../../shared/errors.ts';
import type { Log } from '../../shared/log.ts';

export class Capture {
  readonly #file: number;
  readonly #full: () => void;
  #left: number;

  /** @param full called once when the file has reached `maxBytes`: nothing more is written then. */
  constructor(path: string, maxBytes: number, full: () => void) {
    this.#file = openSync(
      path,
      constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW,
      0o600,
    );
    fchmodSync(this.#file, 0o600);
    this.#full = full;
    this.#left = Math.max(0, maxBytes - fstatSync(this.#file).size);
  }

  /** Waits for the disk: nothing is buffered without bound. */
  write(bytes: Uint8Array): void {
    if (this.#left === 0) return;
    if (bytes.length > this.#left) {
      this.#left = 0;
      this.#full();
      return;
    }
    this.#left -= bytes.length;
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** @returns undefined when none is configured. @throws VmcError 'bad-config' when the file cannot be opened. */
export function openCapture(
  { captureFile, captureMaxMiB }: { captureFile?: string | undefined; captureMaxMiB: number },
  log: Log,
): Capture | undefined {
  if (captureFile === undefined) return undefined;
  log.warn('RELAY CAPTURE IS ON: everything that passes the relay is appended to a file', { captureFile });
  try {
    return new Capture(captureFile, captureMaxMiB * 1024 * 1024, () =>
      log.warn('relay capture has ended: the file is as large as it may be', { captureFile, captureMaxMiB }),
    );
  } catch (cause) {
    throw new VmcError('bad-config', `The capture file ${captureFile} cannot be opened.`, undefined, { cause });
  }
}
