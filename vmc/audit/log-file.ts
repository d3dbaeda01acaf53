/**
 * The file that is written to: appends that are on the disk when they return, or have left no trace; and its change for a
 * new one. A new file is made whole beside the old one, with its first record, and then renamed.
 */
import { randomBytes } from 'node:crypto';
import { type FileHandle, lstat, open, rename, rm } from 'node:fs/promises';
import { NO_HASH } from '../../shared/audit/record.ts';
import type { Head } from '../../shared/audit/verifier.ts';
import { concatBytes, utf8 } from '../../shared/bytes.ts';
import { isErrno, syncFolder } from '../../shared/files.ts';
import { auditPath, fullPath, listFull, nextPath } from './log-files.ts';
import { link } from './plan-batch.ts';
import { recover, type Torn } from './recover.ts';

export interface Binding {
  vm: string;
  key: string;
}

export interface LogState {
  log: string;
  /** 0 before there is one. */
  file: number;
  head: Head;
  torn: Torn | undefined;
}

export class LogFile {
  readonly #stateDir: string;
  readonly #handle: FileHandle;
  #size: number;
  /** There may be more than `#size` in the file: what a failed write left. */
  #dirty = false;

  #lacksLf: boolean;

  private constructor(stateDir: string, handle: FileHandle, size: number, lacksLf = false) {
    this.#stateDir = stateDir;
    this.#handle = handle;
    this.#size = size;
    this.#lacksLf = lacksLf;
  }

  /** The file that is there, if any, and where the log goes on. @param onDamage told of a file that had to be put aside. */
  static async resume(
    stateDir: string,
    onDamage: (problem: string) => void,
  ): Promise<{ file: LogFile | undefined; state: LogState }> {
    const before = await lastFull(stateDir);
    const state: LogState = before ?? {
      log: randomBytes(16).toString('hex'),
      file: 0,
      head: { seq: 0, hash: NO_HASH },
      torn: undefined,
    };
    const path = auditPath(stateDir);
    if (!(await exists(path))) return { file: undefined, state };
    const { log, file, head, size, torn, lacksLf } = await recover(path);
    if (head === undefined) {
      const aside = `${path}.damaged-${Date.now()}`;
      await rename(path, aside);
      if (size > 0) onDamage(`There was no record in it: ${path} was put aside as ${aside}.`);
      return { file: undefined, state };
    }
    const handle = await open(path, 'a');
    await handle.chmod(0o600);
    return {
      file: new LogFile(stateDir, handle, size, lacksLf),
      state: { log: log ?? state.log, file: file ?? state.file + 1, head, torn },
    };
  }

  /** Begins the next file. The one before, if any, has to be closed afterwards. */
  static async create(
    stateDir: string,
    before: LogState,
    at: string,
    binding: Binding | undefined,
  ): Promise<{ file: LogFile; state: LogState }> {
    const { log } = before;
    const number = before.file + 1;
    const first = link(before.head, (seq, prev) => ({
      ...{ seq, at, prev, what: 'log.file', format: 1, log, file: number },
      ...binding,
    }));
    const path = auditPath(stateDir);
    const next = nextPath(stateDir);
    await rm(next, { force: true });
    const handle = await open(next, 'a', 0o600);
    try {
      await handle.chmod(0o600);
      await handle.appendFile(first.line);
      await handle.sync();
      if (before.file > 0 && (await exists(path))) await rename(path, fullPath(stateDir, before.file));
      await rename(next, path);
      await syncFolder(stateDir);
    } catch (error) {
      await handle.close();
      throw error;
    }
    return {
      file: new LogFile(stateDir, handle, first.line.length),
      state: { log, file: number, head: first.head, torn: undefined },
    };
  }

  /** Bytes that are safe. */
  get size(): number {
    return this.#size;
  }

  /** Resolves when the bytes are on the disk. After a failure nothing of them is left. */
  async append(lines: Uint8Array): Promise<void> {
    const bytes = this.#lacksLf ? concatBytes(utf8('\n'), lines) : lines;
    if (this.#dirty) await this.#cutBack();
    try {
      this.#dirty = true;
      await this.#handle.appendFile(bytes);
      await this.#handle.datasync(); // also the new size: fdatasync(2)
      this.#dirty = false;
    } catch (error) {
      await this.#cutBack().catch(() => {}); // else before the next write
      throw error;
    }
    this.#lacksLf = false;
    this.#size += bytes.length;
  }

  async close(): Promise<void> {
    try {
      if (this.#dirty) await this.#cutBack();
    } finally {
      await this.#handle.close();
    }
  }

  async #cutBack(): Promise<void> {
    await this.#handle.truncate(this.#size);
    this.#dirty = false;
  }

  /** Whether the file is still the one that has the log's name: somebody may have moved or deleted it. */
  async isInPlace(): Promise<boolean> {
    const [mine, named] = await Promise.all([
      this.#handle.stat(),
      lstat(auditPath(this.#stateDir)).catch(() => undefined),
    ]);
    return named !== undefined && named.ino === mine.ino && named.dev === mine.dev;
  }
}

async function lastFull(stateDir: string): Promise<LogState | undefined> {
  const last = (await listFull(stateDir)).at(-1);
  if (last === undefined) return undefined;
  const { log, head } = await recover(last.path);
  return log === undefined || head === undefined ? undefined : { log, file: last.file, head, torn: undefined };
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
