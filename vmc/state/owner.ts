/**
 * Whose VM this is: learned once, never replaced (requirement C3). `owner.json` is the moment of learning: it is written
 * once and whole. `bootstrap.json` is the latest accepted document; without `owner.json` it counts for nothing.
 */
import { join } from 'node:path';
import * as z from 'zod';
import { type Bootstrap, encodeBootstrap } from '../../shared/bootstrap.ts';
import { equalBytes } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { readIfThere, writeAtomic, writeOnce } from '../../shared/files.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import type { PublicIdentity } from '../../shared/identity/identity.ts';
import { publicIdentitySchema, publicIdentityToJson } from '../../shared/identity/public-identity.ts';
import { vmIdSchema } from '../../shared/names.ts';
import { parseJson } from '../../shared/validate.ts';
import { MISSING_BOOTSTRAP_HINT, readBootstrap } from './read-bootstrap.ts';

const ownerSchema = z.strictObject({
  version: z.literal(1),
  vmId: vmIdSchema,
  owner: publicIdentitySchema,
  learnedAt: z.iso.datetime(),
});
export type Ownership = z.output<typeof ownerSchema>;

export const ownerPath = (stateDir: string): string => join(stateDir, 'owner.json');
export const storedBootstrapPath = (stateDir: string): string => join(stateDir, 'bootstrap.json');

/** @returns undefined before the first accepted bootstrap. @throws VmcError 'bad-data' for a damaged file. */
export async function readOwner(stateDir: string): Promise<Ownership | undefined> {
  const path = ownerPath(stateDir);
  const text = await readIfThere(path);
  return text === undefined ? undefined : parseJson(ownerSchema, text, path, 'Restore it from a backup of the VM.');
}

/**
 * Takes this boot's document (undefined: there is none) and gives the one to start with.
 * @throws VmcError 'owner-mismatch' when it names another owner or VM: nothing is written then. 'bad-config' when there is none at all.
 */
export async function acceptBootstrap(stateDir: string, given: Bootstrap | undefined, now: Date): Promise<Bootstrap> {
  const known = await readOwner(stateDir);
  if (given === undefined) {
    const stored = known === undefined ? undefined : await readBootstrap(storedBootstrapPath(stateDir));
    if (stored === undefined || known === undefined)
      throw new VmcError('bad-config', 'This VM has no bootstrap document.', MISSING_BOOTSTRAP_HINT);
    checkOwner(known, stored);
    return stored;
  }
  if (known !== undefined) checkOwner(known, given);
  const text = `${encodeBootstrap(given)}\n`;
  if ((await readIfThere(storedBootstrapPath(stateDir))) !== text)
    await writeAtomic(storedBootstrapPath(stateDir), text, 0o600);
  if (known === undefined) await learn(stateDir, given, now);
  return given;
}

async function learn(stateDir: string, { vm, owner }: Bootstrap, now: Date): Promise<void> {
  const json: z.input<typeof ownerSchema> = {
    version: 1,
    vmId: vm.id,
    owner: publicIdentityToJson(owner),
    learnedAt: now.toISOString(),
  };
  if (await writeOnce(ownerPath(stateDir), `${JSON.stringify(json)}\n`, 0o600)) return;
  const winner = await readOwner(stateDir);
  if (winner === undefined) throw new VmcError('bad-data', `${ownerPath(stateDir)} disappeared.`);
  checkOwner(winner, { vm, owner });
}

function checkOwner(known: Ownership, claimed: Pick<Bootstrap, 'vm' | 'owner'>): void {
  const hint = 'Nobody can replace the owner of a VM. Give the VM its own bootstrap again, or make a new VM.';
  if (!sameIdentity(known.owner, claimed.owner))
    throw new VmcError(
      'owner-mismatch',
      `The bootstrap names the owner ${fingerprint(claimed.owner.ed25519)}, but this VM belongs to ${fingerprint(known.owner.ed25519)}.`,
      hint,
    );
  if (claimed.vm.id !== known.vmId)
    throw new VmcError('owner-mismatch', `The bootstrap is for ${claimed.vm.id}, but this VM is ${known.vmId}.`, hint);
}

function sameIdentity(a: PublicIdentity, b: PublicIdentity): boolean {
  return equalBytes(a.ed25519, b.ed25519) && equalBytes(a.x25519, b.x25519) && equalBytes(a.mlkem768, b.mlkem768);
}
