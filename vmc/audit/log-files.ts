/**
 * The files of the audit log in the state folder.
 *
 *   audit.log            the one that is written to
 *   audit.000001.log …   full ones, which are never changed again
 *   audit.log.next       the next one while it is being made; not part of the log
 *   audit.reserve        room kept for when the disk is full (see reserve.ts)
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../shared/files.ts';

export const auditPath = (stateDir: string): string => join(stateDir, 'audit.log');
export const nextPath = (stateDir: string): string => join(stateDir, 'audit.log.next');
export const reservePath = (stateDir: string): string => join(stateDir, 'audit.reserve');

/** Six digits keep names in order for a person; more files get longer names. */
export const fullPath = (stateDir: string, file: number): string =>
  join(stateDir, `audit.${String(file).padStart(6, '0')}.log`);

export interface FullFile {
  path: string;
  file: number;
}

/** Oldest first. */
export async function listFull(stateDir: string): Promise<FullFile[]> {
  const names = await readdir(stateDir);
  return names
    .flatMap((name) => {
      const number = /^audit\.(\d{6,9})\.log$/.exec(name)?.[1];
      return number === undefined ? [] : [{ path: join(stateDir, name), file: Number(number) }];
    })
    .sort((a, b) => a.file - b.file);
}

/** Every file that is part of the log, oldest first. */
export async function listAll(stateDir: string): Promise<string[]> {
  const names = await readdir(stateDir);
  const full = await listFull(stateDir);
  return [...full.map(({ path }) => path), ...(names.includes('audit.log') ? [auditPath(stateDir)] : [])];
}

/** Does a piece of work again when a file got another name meanwhile: between two renames of a change of files. */
export async function whileFilesChange<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++)
    try {
      return await work();
    } catch (error) {
      if (tries === 5 || !isErrno(error, 'ENOENT')) throw error;
    }
}
