/** The log for people who may read it from afar: in pages, only what is safe on disk. */
import { open } from 'node:fs/promises';
import { AUDIT_PAGE_BYTES } from '../../shared/api/audit.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { auditPath, fullPath, listFull } from './log-files.ts';
import type { LogWriter } from './log-writer.ts';
import { readRange } from './recover.ts';

export interface Position {
  file: number;
  offset: number;
}

type Source = Pick<LogWriter, 'file' | 'safeBytes' | 'head' | 'log'>;

export class LogReader {
  readonly #stateDir: string;
  readonly #source: Source;

  constructor(stateDir: string, source: Source) {
    this.#stateDir = stateDir;
    this.#source = source;
  }

  async head(): Promise<{ log: string; seq: number; hash: string; oldestFile: number }> {
    const [oldest] = await listFull(this.#stateDir);
    const { log, head, file } = this.#source;
    return { log, ...head, oldestFile: oldest?.file ?? Math.max(1, file) };
  }

  /** @throws VmcError 'not-found' for a place that is not, or no longer, in the log. */
  async page({ file, offset }: Position): Promise<{ data: Uint8Array; next: Position }> {
    const isLast = file === this.#source.file;
    const handle = await this.#open(isLast ? auditPath(this.#stateDir) : fullPath(this.#stateDir, file));
    try {
      if (isLast && file !== this.#source.file) return await this.page({ file, offset }); // it became a full one meanwhile
      const end = isLast ? this.#source.safeBytes : (await handle.stat()).size;
      if (offset > end) throw notThere();
      const data = await readRange(handle, offset, Math.min(AUDIT_PAGE_BYTES, end - offset));
      const read = offset + data.length;
      if (isLast || read < end) return { data, next: { file, offset: read } };
      return data.length > 0
        ? { data, next: { file: file + 1, offset: 0 } }
        : await this.page({ file: file + 1, offset: 0 });
    } finally {
      await handle.close();
    }
  }

  async #open(path: string) {
    try {
      return await open(path, 'r');
    } catch (error) {
      if (isErrno(error, 'ENOENT')) throw notThere();
      throw error;
    }
  }
}

const notThere = () => new VmcError('not-found', 'That part of the audit log is not there, or no longer.');
