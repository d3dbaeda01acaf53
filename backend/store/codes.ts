/** One-time codes with which a new person claims an account. */
import type { Role } from './accounts.ts';
import type { Database } from './database.ts';
import { sha256 } from './hashes.ts';

export interface Code {
  role: Role;
  /** Null: the first account's. */
  madeBy: string | null;
  expiresAt: number | null;
}

export function codeStore(db: Database) {
  const insert = db.prepare('INSERT INTO codes VALUES (:hash, :role, :madeBy, :expiresAt)');
  const get = db.prepare('SELECT role, madeBy, expiresAt FROM codes WHERE hash = ?');
  const remove = db.prepare('DELETE FROM codes WHERE hash = ?');
  const removeFirst = db.prepare('DELETE FROM codes WHERE madeBy IS NULL');
  const firsts = db.prepare('SELECT count(*) AS n FROM codes WHERE madeBy IS NULL');
  const removeOld = db.prepare('DELETE FROM codes WHERE expiresAt < ?');
  const made = db.prepare('SELECT count(*) AS n FROM codes WHERE madeBy = ?');
  return {
    add: (code: string, fields: Code): void => void insert.run({ hash: sha256(code), ...fields }),
    get: (code: string) => get.get(sha256(code)) as Code | undefined,
    remove: (code: string): void => void remove.run(sha256(code)),
    /** The code for the first account; a newer one replaces it. */
    removeFirst: (): void => void removeFirst.run(),
    hasFirst: () => (firsts.get() as { n: number }).n > 0,
    removeExpired: (now: number): void => void removeOld.run(now),
    /** How many codes of this person nobody has used yet. */
    countBy: (userId: string) => (made.get(userId) as { n: number }).n,
  };
}
