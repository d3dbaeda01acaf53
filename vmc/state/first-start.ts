/**
 * The moment in which a VM gets its identity and learns its owner, both or neither. They are written together into one
 * file, `learning`, whole or not at all: from then on it is settled. `identity` and `owner.json` are made of it, at the
 * next start if there was a crash, and it is removed. So one of the two alone is never the work of a crash.
 */
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bootstrap } from '../../shared/bootstrap.ts';
import { concatBytes, equalBytes, utf8, wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { readBytesIfThere, readIfThere, syncFolder, writeOnce } from '../../shared/files.ts';
import {
  decodeIdentitySecret,
  encodeIdentitySecret,
  generateIdentity,
  type Identity,
} from '../../shared/identity/identity.ts';
import { identityPath, readIdentity } from './identity-file.ts';
import { decodeOwner, encodeOwner, type Ownership, ownerPath, RESTORE_HINT } from './owner.ts';

/** Who this VM is and whose. */
export interface Self {
  identity: Identity;
  ownership: Ownership;
}

export const learningPath = (stateDir: string): string => join(stateDir, 'learning');

//    0 164  the identity's secret (VMI1)
//  164   …  owner.json
const IDENTITY_BYTES = 164;

/** Makes the identity and learns the owner. For who holds the folder's lock and has seen that there is nothing yet. */
export async function learn(stateDir: string, bootstrap: Bootstrap, now: Date): Promise<void> {
  const identity = generateIdentity();
  const secret = encodeIdentitySecret(identity);
  const both = concatBytes(secret, utf8(encodeOwner(identity, bootstrap, now)));
  try {
    if (!(await writeOnce(learningPath(stateDir), both, 0o600)))
      throw new VmcError('owner-mismatch', `Another owner is being learned: ${learningPath(stateDir)}.`, RESTORE_HINT);
  } finally {
    wipe(secret);
    wipe(both);
  }
  await finishLearning(stateDir);
}

/** After a crash; does nothing when there is nothing to finish. @throws VmcError 'bad-data', 'owner-mismatch'. */
export async function finishLearning(stateDir: string): Promise<void> {
  const path = learningPath(stateDir);
  const both = await readBytesIfThere(path);
  if (both === undefined) return;
  const secret = both.subarray(0, IDENTITY_BYTES);
  const owner = both.subarray(IDENTITY_BYTES);
  try {
    decodeOwner(decodeIdentitySecret(secret), new TextDecoder().decode(owner), path);
    await settle(identityPath(stateDir), secret);
    await settle(ownerPath(stateDir), owner);
  } finally {
    wipe(both);
  }
  await unlink(path);
  await syncFolder(stateDir);
}

async function settle(path: string, bytes: Uint8Array): Promise<void> {
  if (await writeOnce(path, bytes, 0o600)) return;
  const there = await readBytesIfThere(path);
  const equal = there !== undefined && equalBytes(there, bytes);
  if (there !== undefined) wipe(there);
  if (!equal)
    throw new VmcError('owner-mismatch', `${path} is not what this VM learned at its first start.`, RESTORE_HINT);
}

/** What only a VM leaves behind that has an identity. */
const TRACES = ['relay.json', 'people.json', 'people.version'] as const;

/**
 * Changes nothing. @returns undefined before the first start, or while it is under way.
 * @throws VmcError 'bad-data', 'owner-mismatch' for a folder that is damaged, mixed of two, or lacks a part.
 */
export async function readSelf(stateDir: string): Promise<Self | undefined> {
  const [learning, identity, owner] = await Promise.all([
    readIfThere(learningPath(stateDir)),
    readIdentity(stateDir),
    readIfThere(ownerPath(stateDir)),
  ]);
  if (identity !== undefined && owner !== undefined)
    return { identity, ownership: decodeOwner(identity, owner, ownerPath(stateDir)) };
  if (learning !== undefined) return undefined;
  if (identity !== undefined) throw lacks(ownerPath(stateDir), 'an identity, but nothing says who owns it');
  if (owner !== undefined) throw lacks(identityPath(stateDir), 'an owner, but its identity is gone');
  for (const name of TRACES)
    if ((await readIfThere(join(stateDir, name))) !== undefined)
      throw lacks(identityPath(stateDir), `been in use (there is ${name}), but its identity and owner are gone`);
  return undefined;
}

const lacks = (path: string, what: string) =>
  new VmcError('owner-mismatch', `This VM has ${what}: ${path} is missing.`, RESTORE_HINT);
