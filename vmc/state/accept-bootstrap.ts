/**
 * From this boot's bootstrap document to who this VM is and whose (requirement C3). `bootstrap.json` is the latest accepted
 * document; without a learned owner it counts for nothing.
 */
import { join } from 'node:path';
import { type Bootstrap, encodeBootstrap } from '../../shared/bootstrap.ts';
import { VmcError } from '../../shared/errors.ts';
import { readIfThere, removeTemporaries, writeAtomic } from '../../shared/files.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import { finishLearning, learn, readSelf } from './first-start.ts';
import { checkOwner } from './owner.ts';
import { MISSING_BOOTSTRAP_HINT, readBootstrap } from './read-bootstrap.ts';

export const storedBootstrapPath = (stateDir: string): string => join(stateDir, 'bootstrap.json');

export interface Accepted {
  bootstrap: Bootstrap;
  identity: Identity;
  /** At this very start. */
  learned: boolean;
}

/**
 * For who holds the folder's lock. @param given this boot's document; undefined: there is none, the latest counts.
 * @throws VmcError 'owner-mismatch' when it names another owner or VM, or the folder is not this VM's alone: nothing is
 * written then. 'bad-config' when there is no document at all. 'bad-data' for damaged files.
 */
export async function acceptBootstrap(stateDir: string, given: Bootstrap | undefined, now: Date): Promise<Accepted> {
  await removeTemporaries(stateDir);
  await finishLearning(stateDir);
  const known = await readSelf(stateDir);
  const bootstrap = given ?? (known && (await readBootstrap(storedBootstrapPath(stateDir))));
  if (bootstrap === undefined)
    throw new VmcError('bad-config', 'This VM has no bootstrap document.', MISSING_BOOTSTRAP_HINT);
  if (known !== undefined) checkOwner(known.ownership, bootstrap);
  if (given !== undefined) await store(stateDir, given);
  if (known !== undefined) return { bootstrap, identity: known.identity, learned: false };
  await learn(stateDir, bootstrap, now);
  const self = await readSelf(stateDir);
  if (self === undefined) throw new VmcError('bad-data', `What was learned is gone from ${stateDir}.`);
  return { bootstrap, identity: self.identity, learned: true };
}

async function store(stateDir: string, bootstrap: Bootstrap): Promise<void> {
  const path = storedBootstrapPath(stateDir);
  const text = `${encodeBootstrap(bootstrap)}\n`;
  if ((await readIfThere(path)) !== text) await writeAtomic(path, text, 0o600);
}
