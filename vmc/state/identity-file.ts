/** The VM's own keys: made at the first start together with the owner's record (first-start.ts), then only read. */
import { join } from 'node:path';
import { wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { readBytesIfThere } from '../../shared/files.ts';
import { decodeIdentitySecret, type Identity } from '../../shared/identity/identity.ts';

export const identityPath = (stateDir: string): string => join(stateDir, 'identity');

/** @returns undefined when none has been made yet. @throws VmcError 'bad-data' for a damaged file: none is made in its place. */
export async function readIdentity(stateDir: string): Promise<Identity | undefined> {
  const path = identityPath(stateDir);
  const secret = await readBytesIfThere(path);
  if (secret === undefined) return undefined;
  try {
    return decodeIdentitySecret(secret);
  } catch (error) {
    if (error instanceof VmcError) throw new VmcError(error.code, `${path}: ${error.message}`, error.hint);
    throw error;
  } finally {
    wipe(secret);
  }
}
