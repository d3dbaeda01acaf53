/**
 * Room on the disk that is kept for the audit log. When the disk is full, the reserve is given up, so that the owner can still
 * act, with failClosed too, and make room; it is made again when there is plenty.
 */
import { open, rm, stat, statfs } from 'node:fs/promises';
import { isErrno } from '../../shared/files.ts';
import { reservePath } from './log-files.ts';

/** Some 3000 records. */
export const RESERVE_BYTES = 1024 * 1024;
const PLENTY_BYTES = 16 * RESERVE_BYTES;

export const isFull = (error: unknown): boolean => isErrno(error, 'ENOSPC') || isErrno(error, 'EDQUOT');

/** @returns false when there was none. */
export async function giveUpReserve(stateDir: string): Promise<boolean> {
  if (!(await hasReserve(stateDir))) return false;
  await rm(reservePath(stateDir), { force: true });
  return true;
}

/** Makes it when there is none and the disk has plenty. @returns whether there is one now. */
export async function keepReserve(stateDir: string): Promise<boolean> {
  if (await hasReserve(stateDir)) return true;
  const { bavail, bsize } = await statfs(stateDir);
  if (bavail * bsize < PLENTY_BYTES) return false;
  const path = reservePath(stateDir);
  try {
    const file = await open(path, 'w', 0o600);
    try {
      await file.writeFile(new Uint8Array(RESERVE_BYTES));
      await file.sync(); // or the blocks are not taken yet
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    await rm(path, { force: true });
    if (isFull(error)) return false;
    throw error;
  }
}

export async function hasReserve(stateDir: string): Promise<boolean> {
  try {
    return (await stat(reservePath(stateDir))).size >= RESERVE_BYTES;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
