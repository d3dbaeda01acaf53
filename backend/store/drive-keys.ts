/** Drive keys, each wrapped on a device to one person's public keys. Written once: a replaced key is a lost drive. */
import { equalBytes } from '../../shared/bytes.ts';
import type { Database } from './database.ts';

export function driveKeyStore(db: Database) {
  const insert = db.prepare('INSERT INTO driveKeys VALUES (?, ?, ?) ON CONFLICT DO NOTHING');
  const get = db.prepare('SELECT wrappedKey FROM driveKeys WHERE driveId = ? AND userId = ?');
  const find = (driveId: string, userId: string) =>
    (get.get(driveId, userId) as { wrappedKey: Uint8Array } | undefined)?.wrappedKey;
  return {
    get: find,
    /** @returns false when another key is there. */
    put(driveId: string, userId: string, wrappedKey: Uint8Array): boolean {
      if (insert.run(driveId, userId, wrappedKey).changes === 1) return true;
      const stored = find(driveId, userId);
      return stored !== undefined && equalBytes(stored, wrappedKey);
    },
  };
}
