/**
 * Who did what in this VM: one JSON line an event, only ever appended to. Each has a number and room for the hash of the
 * line before it. A failed write is told to the caller's `onProblem` and stops nobody: a full disk must not lock its owner out.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { errorMessage } from '../../shared/errors.ts';

export interface AuditEvent {
  /** A fingerprint, 'vmc' for the controller itself, 'root' for someone at the console, 'unknown' before sign-in. */
  who: string;
  /** e.g. drive.open, channel.refused */
  what: string;
  /** e.g. a drive id, a certificate's fingerprint */
  target?: string | undefined;
  /** ok, or an error code or the reason of a refusal. */
  result: string;
}

export const auditPath = (stateDir: string): string => join(stateDir, 'audit.log');

const MAX_WAITING = 1000;
const TAIL_BYTES = 16 * 1024;
/** Refusals are made by strangers: at most this many lines a minute, then only their number. */
const REFUSALS_PER_MINUTE = 60;

export interface AuditDeps {
  now: () => Date;
  /** Told about each write that failed. */
  onProblem: (problem: string) => void;
}

export class AuditLog {
  readonly #file: FileHandle;
  readonly #deps: AuditDeps;
  #next: number;
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();
  #minute = 0;
  #refusals = 0;
  #unwritten = 0;

  private constructor(file: FileHandle, next: number, deps: AuditDeps) {
    this.#file = file;
    this.#next = next;
    this.#deps = deps;
  }

  static async open(stateDir: string, deps: AuditDeps): Promise<AuditLog> {
    const file = await open(auditPath(stateDir), 'a+', 0o600);
    await file.chmod(0o600);
    const { next, torn } = await readTail(file);
    if (torn) await file.write('\n'); // a crash cut the last line: the next one starts on its own
    return new AuditLog(file, next, deps);
  }

  /** Resolves when the line is on disk, or has failed. */
  record(event: AuditEvent): Promise<void> {
    if (this.#waiting >= MAX_WAITING) {
      this.#deps.onProblem('too many events wait to be written');
      return Promise.resolve();
    }
    this.#waiting++;
    const at = this.#deps.now().toISOString();
    this.#last = this.#last.then(() => this.#write(at, event)).finally(() => this.#waiting--);
    return this.#last;
  }

  /** As `record`, for what strangers can cause as often as they like. */
  async refuse(event: AuditEvent): Promise<void> {
    const minute = Math.floor(this.#deps.now().getTime() / 60_000);
    if (minute !== this.#minute) {
      const unwritten = this.#unwritten;
      this.#minute = minute;
      this.#refusals = 0;
      this.#unwritten = 0;
      if (unwritten > 0)
        void this.record({ who: 'vmc', what: 'audit.summarised', target: `${unwritten} refusals`, result: 'ok' });
    }
    if (++this.#refusals > REFUSALS_PER_MINUTE) this.#unwritten++;
    else await this.record(event);
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#file.close();
  }

  async #write(at: string, event: AuditEvent): Promise<void> {
    const line = { version: 1, number: this.#next, at, ...event };
    try {
      await this.#file.appendFile(`${JSON.stringify(line)}\n`);
      await this.#file.datasync();
      this.#next++;
    } catch (error) {
      this.#deps.onProblem(errorMessage(error));
    }
  }
}

/** The number after the last whole line's. */
async function readTail(file: FileHandle): Promise<{ next: number; torn: boolean }> {
  const { size } = await file.stat();
  const length = Math.min(size, TAIL_BYTES);
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
  const text = buffer.toString('utf8');
  const lines = text.split('\n');
  for (const line of lines.reverse()) {
    try {
      const { number } = JSON.parse(line) as { number?: unknown };
      if (typeof number === 'number') return { next: number + 1, torn: !text.endsWith('\n') };
    } catch {
      // empty, torn, or the cut beginning of the tail
    }
  }
  return { next: 1, torn: size > 0 && !text.endsWith('\n') };
}
