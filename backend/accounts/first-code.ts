/** The one-time code that makes the first person of a new backend its super-admin. */
import { VmcError } from '../../shared/errors.ts';
import { makeCode } from '../store/hashes.ts';
import type { Store } from '../store/store.ts';

/** A new one; an older one no longer works. @throws VmcError 'wrong-state' once there is an account. */
export function makeFirstCode(store: Store, now: number): string {
  const code = makeCode();
  store.transaction(() => {
    if (store.accounts.count() > 0)
      throw new VmcError(
        'wrong-state',
        'This backend has accounts already.',
        'An administrator invites others: connect user invite',
      );
    store.codes.removeFirst();
    store.codes.add(code, { role: 'super-admin', madeBy: null, expiresAt: null });
    store.audit.add({ at: now, actor: 'system', action: 'account.code', target: null, result: 'ok' });
  });
  return code;
}

/** At the first start of a new backend. */
export const needsFirstCode = (store: Store): boolean => store.accounts.count() === 0 && !store.codes.hasFirst();
