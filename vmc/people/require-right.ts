/** The gate before every call of a control channel. */
import type { MethodRight, Right } from '../../shared/api/rights.ts';
import { VmcError } from '../../shared/errors.ts';

/** @param rights undefined for someone this VM does not know. @throws VmcError 'forbidden'. */
export function requireRight(rights: ReadonlySet<Right> | undefined, needed: MethodRight): void {
  if (rights !== undefined && (needed === 'member' || rights.has(needed))) return;
  throw new VmcError(
    'forbidden',
    `This needs the right "${needed}" in this VM.`,
    'Ask the owner of the VM, or one of its managers.',
  );
}
