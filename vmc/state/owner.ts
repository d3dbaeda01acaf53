/**
 * Whose VM this is: learned once, never replaced (requirement C3). The record is signed by the VM's identity and names the
 * VM, so that neither a record of another VM nor one that was edited counts.
 */
import { join } from 'node:path';
import * as z from 'zod';
import type { Bootstrap } from '../../shared/bootstrap.ts';
import { equalBytes } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import type { Identity, PublicIdentity } from '../../shared/identity/identity.ts';
import { publicIdentitySchema, publicIdentityToJson } from '../../shared/identity/public-identity.ts';
import { vmIdSchema } from '../../shared/names.ts';
import { decodeSigned, encodeSigned } from './signed-record.ts';

const CONTEXT = 'vmc-owner';
export const RESTORE_HINT =
  'Restore the whole state folder from one backup of this VM. If there is none, make a new VM: nobody can name an owner anew.';

const ownerSchema = z.strictObject({
  version: z.literal(2),
  vmId: vmIdSchema,
  owner: publicIdentitySchema,
  learnedAt: z.iso.datetime(),
});
export type Ownership = z.output<typeof ownerSchema>;

export const ownerPath = (stateDir: string): string => join(stateDir, 'owner.json');

export function encodeOwner(identity: Identity, { vm, owner }: Pick<Bootstrap, 'vm' | 'owner'>, now: Date): string {
  const record: z.input<typeof ownerSchema> = {
    version: 2,
    vmId: vm.id,
    owner: publicIdentityToJson(owner),
    learnedAt: now.toISOString(),
  };
  return encodeSigned(identity, CONTEXT, record);
}

/** @throws VmcError 'bad-data' when it is damaged; 'owner-mismatch' when this VM has not signed it. */
export function decodeOwner(identity: Identity, text: string, path: string): Ownership {
  return decodeSigned(identity.public.ed25519, ownerSchema, text, { context: CONTEXT, path, hint: RESTORE_HINT });
}

/** @throws VmcError 'owner-mismatch' when a bootstrap names another owner or VM than the one learned. */
export function checkOwner(known: Ownership, claimed: Pick<Bootstrap, 'vm' | 'owner'>): void {
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
