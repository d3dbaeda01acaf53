/**
 * Named moments between two steps of a change of the world, where a test ends the process as kill -9 would, to see what a
 * crash there leaves. Nothing happens unless root, who starts the process, has named a file in VMC_FAULT_FILE.
 */
import { readFileSync, rmSync } from 'node:fs';
import { isErrno } from './files.ts';

let armed: string | undefined;

/** @param file undefined: no fault point does anything. Only a main.ts, or a test, says this. */
export function armFaultPoints(file: string | undefined): void {
  armed = file;
}

/** Ends the process when the file holds this name; the file is removed first, so that a second start goes on. */
export async function faultPoint(name: string): Promise<void> {
  if (armed === undefined) return;
  try {
    if (readFileSync(armed, 'utf8').trim() !== name) return;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  rmSync(armed);
  process.kill(process.pid, 'SIGKILL');
  await new Promise(() => {}); // the signal comes before anything else happens
}
