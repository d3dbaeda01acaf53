/** The last records of the log, and what comes after them, for people who look at it beside the daemon. */
import { watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { type AuditRecord, MAX_LINE_BYTES, parseRecord } from '../../shared/audit/record.ts';
import { listAll, whileFilesChange } from './log-files.ts';
import { readRange } from './recover.ts';

/** Where following goes on: the file, and what of it has been shown. */
export interface Position {
  ino: number;
  offset: number;
}

/** @param count at most so many, oldest first. */
export const readTail = (
  stateDir: string,
  count: number,
): Promise<{ records: AuditRecord[]; position: Position | undefined }> =>
  whileFilesChange(async () => {
    let records: AuditRecord[] = [];
    let position: Position | undefined;
    for (const path of (await listAll(stateDir)).reverse()) {
      if (records.length >= count) break;
      const file = await open(path, 'r');
      try {
        const { size, ino } = await file.stat();
        const { found, end } = await readEnd(file, size, count - records.length);
        position ??= { ino, offset: end };
        records = [...found, ...records];
      } finally {
        await file.close();
      }
    }
    return { records, position };
  });

async function readEnd(file: FileHandle, size: number, count: number): Promise<{ found: AuditRecord[]; end: number }> {
  const start = Math.max(0, size - (count + 1) * (MAX_LINE_BYTES + 1));
  const text = Buffer.from(await readRange(file, start, size - start)).toString('latin1');
  return { found: parseLines(text).slice(-count), end: start + text.lastIndexOf('\n') + 1 };
}

/** What is torn or cut is left out here; verifying judges it. */
const parseLines = (text: string): AuditRecord[] =>
  text
    .split('\n')
    .slice(0, -1)
    .flatMap((line) => parseRecord(line) ?? []);

/** Hands out each record that is written from now on, through changes of files too, until the signal. */
export async function followLog(
  stateDir: string,
  from: Position | undefined,
  each: (records: AuditRecord[]) => void,
  signal: AbortSignal,
): Promise<void> {
  let position = from;
  let changed = Promise.withResolvers<void>();
  const watcher = watch(stateDir, { signal }, () => changed.resolve());
  watcher.on('error', () => changed.resolve());
  signal.addEventListener('abort', () => changed.resolve());
  while (!signal.aborted) {
    changed = Promise.withResolvers();
    await whileFilesChange(async () => {
      const paths = await listAll(stateDir);
      const known = await indexOfInode(paths, position?.ino);
      for (const path of paths.slice(known)) {
        const { records, end } = await readFrom(path, position);
        position = end;
        if (records.length > 0) each(records);
      }
    });
    await changed.promise;
  }
  watcher.close();
}

async function readFrom(path: string, from: Position | undefined): Promise<{ records: AuditRecord[]; end: Position }> {
  const file = await open(path, 'r');
  try {
    const { size, ino } = await file.stat();
    const offset = ino === from?.ino ? Math.min(from.offset, size) : 0;
    const text = Buffer.from(await readRange(file, offset, size - offset)).toString('latin1');
    return { records: parseLines(text), end: { ino, offset: offset + text.lastIndexOf('\n') + 1 } };
  } finally {
    await file.close();
  }
}

async function indexOfInode(paths: readonly string[], ino: number | undefined): Promise<number> {
  for (const [i, path] of paths.entries()) if ((await stat(path)).ino === ino) return i;
  return -1;
}
