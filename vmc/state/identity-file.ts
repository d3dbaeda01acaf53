/** The VM's own keys: made once, then only read. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno, writeOnce } from '../../shared/files.ts';
import {
  decodeIdentitySecret,
  encodeIdentitySecret,
  generateIdentity,
  type Identity,
} from '../../shared/identity/identity.ts';

export const identityPath = (stateDir: string): string => join(stateDir, 'identity');

/** Reads the identity, or makes it. @throws VmcError 'bad-data' for a damaged file: a new one is never made in its place. */
export async function loadOrMakeIdentity(stateDir: string): Promise<Identity> {
  const known = await readIdentity(stateDir);
  if (known !== undefined) return known;
  const made = generateIdentity();
  const secret = encodeIdentitySecret(made);
  try {
    if (await writeOnce(identityPath(stateDir), secret, 0o600)) return made;
  } finally {
    wipe(secret);
  }
  const others = await readIdentity(stateDir); // another start was quicker: its keys are the ones
  if (others === undefined) throw new VmcError('bad-data', `${identityPath(stateDir)} disappeared.`);
  return others;
}

/** @returns undefined when none has been made yet. */
export async function readIdentity(stateDir: string): Promise<Identity | undefined> {
  const path = identityPath(stateDir);
  let secret: Uint8Array;
  try {
    secret = await readFile(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    return decodeIdentitySecret(secret);
  } catch (error) {
    if (error instanceof VmcError) throw new VmcError(error.code, `${path}: ${error.message}`, error.hint);
    throw error;
  } finally {
    wipe(secret);
  }
}
