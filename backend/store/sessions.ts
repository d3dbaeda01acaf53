/** Sessions: who is signed in, until when. Only the token's SHA-256 is known here. */
import type { Database } from './database.ts';
import { sha256 } from './hashes.ts';

export interface Session {
  /** SHA-256 of the token, hex: names the session inside the backend. */
  id: string;
  userId: string;
  expiresAt: number;
}

export function sessionStore(db: Database) {
  const insert = db.prepare('INSERT INTO sessions VALUES (?, ?, ?)');
  const get = db.prepare('SELECT lower(hex(hash)) AS id, userId, expiresAt FROM sessions WHERE hash = ?');
  const isOpen = db.prepare('SELECT 1 FROM sessions WHERE hash = unhex(?) AND expiresAt > ?');
  const remove = db.prepare('DELETE FROM sessions WHERE hash = unhex(?)');
  const removeOld = db.prepare('DELETE FROM sessions WHERE expiresAt <= ?');
  const keepNewest = db.prepare(
    `DELETE FROM sessions WHERE userId = :userId AND hash NOT IN
       (SELECT hash FROM sessions WHERE userId = :userId ORDER BY expiresAt DESC, rowid DESC LIMIT :keep)
       RETURNING lower(hex(hash)) AS id`,
  );
  return {
    add: (token: string, userId: string, expiresAt: number): void => void insert.run(sha256(token), userId, expiresAt),
    get: (token: string) => get.get(sha256(token)) as Session | undefined,
    isOpen: (id: string, now: number): boolean => isOpen.get(id, now) !== undefined,
    remove: (id: string): void => void remove.run(id),
    removeExpired: (now: number): void => void removeOld.run(now),
    /** Bounds what one person can fill: beyond `keep` the oldest sessions end. @returns their ids. */
    keepNewest: (userId: string, keep: number): string[] =>
      (keepNewest.all({ userId, keep }) as { id: string }[]).map(({ id }) => id),
  };
}
