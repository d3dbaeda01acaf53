/** Accounts and sign-in (B2). The statements that are signed are in shared/rest-api/accounts.ts. */
import type * as z from 'zod';
import { utf8 } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import { ed25519PublicKey } from '../../shared/identity/keys.ts';
import { publicIdentityToJson } from '../../shared/identity/public-identity.ts';
import { verifyStatement } from '../../shared/identity/statement.ts';
import { toBase64 } from '../../shared/names.ts';
import { statementContexts } from '../../shared/relay-wire.ts';
import type { userSchema } from '../../shared/rest-api/accounts.ts';
import type { Handlers } from '../rest/handler.ts';
import { type Account, identityOf, type Role } from '../store/accounts.ts';
import { makeCode, makeId, makeSessionToken } from '../store/hashes.ts';
import type { Store } from '../store/store.ts';
import type { Challenges } from './challenges.ts';

const INVITE_MS = 24 * 3_600_000;
const MAX_OPEN_INVITES = 100;
const MAX_SESSIONS = 64;
const RANK: Record<Role, number> = { user: 0, 'sub-admin': 1, admin: 2, 'super-admin': 3 };

export interface AccountDeps {
  store: Store;
  pin: string;
  now: () => number;
  sessionHours: number;
  challenges: Challenges;
  /** By sign-out, or to make place for a newer one: what hangs on the session ends. */
  sessionEnded(sessionId: string): Promise<void>;
}

type AccountHandlers = Pick<Handlers, 'claim' | 'challenge' | 'signIn' | 'signOut' | 'me' | 'userList' | 'userInvite'>;

export function accountHandlers(deps: AccountDeps): AccountHandlers {
  const { store, now, pin, challenges } = deps;
  return {
    async claim({ body: { code, name, identity, signature } }, request) {
      const { ed25519, x25519, mlkem768 } = identity;
      const parts = [utf8(code), utf8(name), ed25519, x25519, mlkem768, utf8(pin)];
      if (!verifyStatement(ed25519, statementContexts.claim, parts, signature)) throw wrongSignature();
      const account = store.transaction(() => {
        const found = store.codes.get(code);
        const first = found?.madeBy === null;
        if (
          found === undefined ||
          (found.expiresAt !== null && found.expiresAt <= now()) ||
          (first && store.accounts.count() > 0)
        )
          throw new VmcError(
            'unauthenticated',
            'This code is not valid: it is unknown, used or expired.',
            'Ask for a new one. For the first account: backend account code',
          );
        store.codes.remove(code);
        const made: Account = {
          userId: makeId('user-', 6),
          name,
          role: found.role,
          ed25519,
          identity: JSON.stringify(publicIdentityToJson(identity)),
          createdAt: now(),
        };
        store.accounts.add(made);
        return made;
      });
      request.actor = account.userId;
      request.target = account.name;
      return describeUser(account);
    },

    async challenge() {
      return { challenge: toBase64(challenges.make()) };
    },

    async signIn({ body: { ed25519, challenge, signature } }, request) {
      if (!challenges.use(challenge))
        throw new VmcError('unauthenticated', 'This challenge is not valid: it was used or is too old.', 'Try again.');
      const parts = [challenge, ed25519, utf8(pin)];
      if (!verifyStatement(ed25519PublicKey(ed25519), statementContexts.signIn, parts, signature))
        throw wrongSignature();
      const account = store.accounts.byKey(ed25519);
      if (account === undefined)
        throw new VmcError(
          'unauthenticated',
          'This identity has no account here.',
          'Claim one with a code from an administrator: connect claim',
        );
      const session = makeSessionToken();
      const expiresAt = now() + Math.round(deps.sessionHours * 3_600_000);
      const displaced = store.transaction(() => {
        store.sessions.removeExpired(now());
        store.sessions.add(session, account.userId, expiresAt);
        return store.sessions.keepNewest(account.userId, MAX_SESSIONS);
      });
      await Promise.all(displaced.map((id) => deps.sessionEnded(id)));
      request.actor = account.userId;
      return { session, expiresAt, user: describeUser(account) };
    },

    async signOut(_input, { caller }) {
      store.sessions.remove(caller.session.id);
      await deps.sessionEnded(caller.session.id);
      return {};
    },

    async me(_input, { account }) {
      return describeUser(account);
    },

    async userList() {
      return { users: store.accounts.list().map(describeUser) };
    },

    async userInvite({ body: { role } }, request) {
      const { account } = request;
      if (RANK[role] > RANK[account.role])
        throw new VmcError('forbidden', `You are ${account.role} and cannot invite a ${role}.`);
      store.codes.removeExpired(now());
      if (store.codes.countBy(account.userId) >= MAX_OPEN_INVITES)
        throw new VmcError('limit', 'Too many of your invitations are open.', 'They end after 24 hours.');
      const code = makeCode();
      const expiresAt = now() + INVITE_MS;
      store.codes.add(code, { role, madeBy: account.userId, expiresAt });
      request.target = role;
      return { code, expiresAt };
    },
  };
}

export function describeUser(account: Account): z.input<typeof userSchema> {
  return {
    userId: account.userId,
    name: account.name,
    role: account.role,
    fingerprint: fingerprint(ed25519PublicKey(account.ed25519)),
    identity: identityOf(account),
  };
}

const wrongSignature = () =>
  new VmcError(
    'unauthenticated',
    'The signature does not hold.',
    'It covers the pin of this backend: is the pin in use the one that `backend pin` prints?',
  );
