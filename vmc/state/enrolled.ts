/** Whether the backend already knows this VM's public keys. Only saves a request: enrolling again with the same keys is fine. */
import { join } from 'node:path';
import { readIfThere, writeAtomic } from '../../shared/files.ts';

const path = (stateDir: string) => join(stateDir, 'enrolled');
const line = (vmId: string, pin: string) => `${vmId} ${pin}\n`;

/** @param pin of the backend: another backend has to be told as well. */
export async function isEnrolled(stateDir: string, vmId: string, pin: string): Promise<boolean> {
  return (await readIfThere(path(stateDir))) === line(vmId, pin);
}

export async function markEnrolled(stateDir: string, vmId: string, pin: string): Promise<void> {
  await writeAtomic(path(stateDir), line(vmId, pin), 0o600);
}
