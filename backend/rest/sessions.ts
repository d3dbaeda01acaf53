/** From an Authorization header to a caller. */
import { VmcError } from '../../shared/errors.ts';
import type { RouteAuth } from '../../shared/rest-api/route.ts';
import type { Store } from '../store/store.ts';
import { type Caller, unauthenticated } from './handler.ts';

/** Undefined for a missing, malformed, unknown or ended session: they look the same. */
export function findCaller(
  store: Pick<Store, 'sessions' | 'accounts'>,
  authorization: string | undefined,
  now: number,
): Caller | undefined {
  const token = /^Bearer ([A-Za-z0-9_-]{43})$/.exec(authorization ?? '')?.[1];
  const session = token === undefined ? undefined : store.sessions.get(token);
  if (session === undefined || session.expiresAt <= now) return undefined;
  const account = store.accounts.get(session.userId);
  return account === undefined ? undefined : { account, session };
}

/** @throws VmcError 'unauthenticated' or 'forbidden'. */
export function requireAuth(auth: RouteAuth, caller: Caller | undefined): void {
  if (auth === 'none') return;
  if (caller === undefined) throw unauthenticated();
  if (auth === 'admin' && !isAdmin(caller.account))
    throw new VmcError('forbidden', 'Only administrators may do this.', 'Ask one of them.');
}

export const isAdmin = (account: { role: string }): boolean =>
  account.role === 'super-admin' || account.role === 'admin';
