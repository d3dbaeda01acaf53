/** Who may be here and do what. Decided in this VM alone (requirement C3): no backend is asked. */

import { type MethodRight, RIGHTS, type Right } from '../../shared/api/rights.ts';
import { equalBytes } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';

const EVERYTHING: ReadonlySet<Right> = new Set(RIGHTS);

/** @returns undefined for someone this VM does not know: then not even `member` holds. */
export function rightsOf(person: Uint8Array, owner: Uint8Array): ReadonlySet<Right> | undefined {
  return equalBytes(person, owner) ? EVERYTHING : undefined;
}

/** @throws VmcError 'forbidden'. */
export function requireRight(rights: ReadonlySet<Right> | undefined, needed: MethodRight): void {
  if (rights !== undefined && (needed === 'member' || rights.has(needed))) return;
  throw new VmcError(
    'forbidden',
    `This needs the right "${needed}" in this VM.`,
    'Ask the owner of the VM, or one of its managers.',
  );
}
