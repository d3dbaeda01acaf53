/** What must wait until a re-encryption has come to its end. */
import { VmcError } from '../../shared/errors.ts';
import type { CheckedHeader } from './parse-luks-header.ts';

/** @throws VmcError 'wrong-state'. */
export function requireSettled(driveId: string, { reencryption }: CheckedHeader): void {
  if (reencryption === undefined) return;
  throw new VmcError(
    'wrong-state',
    `The drive ${driveId} is in the middle of its re-encryption.`,
    'Let that come to its end first: connect drive reencrypt',
  );
}
