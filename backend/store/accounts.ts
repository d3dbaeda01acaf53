/** People. Their public keys are what they are known by. */
import type * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import type { PublicIdentityJson } from '../../shared/identity/public-identity.ts';
import type { roleSchema } from '../../shared/rest-api/accounts.ts';
import { type Database, isTaken } from './database.ts';

export type Role = z.output<typeof roleSchema>;

export interface Account {
  userId: string;
  name: string;
  role: Role;
  ed25519: Uint8Array;
  /** PublicIdentityJson. */
  identity: string;
  createdAt: number;
}

export const identityOf = (row: { identity: string }): PublicIdentityJson => JSON.parse(row.identity);

export function accountStore(db: Database) {
  const insert = db.prepare('INSERT INTO accounts VALUES (:userId, :name, :role, :ed25519, :identity, :createdAt)');
  const count = db.prepare('SELECT count(*) AS n FROM accounts');
  const byId = db.prepare('SELECT * FROM accounts WHERE userId = ?');
  const byKey = db.prepare('SELECT * FROM accounts WHERE ed25519 = ?');
  const byName = db.prepare('SELECT * FROM accounts WHERE name = ?');
  const all = db.prepare('SELECT * FROM accounts ORDER BY createdAt, userId');
  return {
    /** @throws VmcError 'already-exists' that says whether the name or the key is taken. */
    add(account: Account): void {
      try {
        insert.run({ ...account });
      } catch (error) {
        if (!isTaken(error)) throw error;
        throw byName.get(account.name) === undefined
          ? new VmcError('already-exists', 'This identity has an account already.', 'Sign in with it.')
          : new VmcError('already-exists', `The name ${account.name} is taken.`, 'Choose another.');
      }
    },
    count: () => (count.get() as { n: number }).n,
    get: (userId: string) => byId.get(userId) as Account | undefined,
    byKey: (ed25519: Uint8Array) => byKey.get(ed25519) as Account | undefined,
    list: () => all.all() as unknown as Account[],
  };
}
