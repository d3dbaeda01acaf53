/**
 * Drive keys, each wrapped on a device to one person's public keys. A person's first one is written once: a replaced key is a
 * lost drive. A change of key is staged beside it, and takes its place when the owner knows that the drive opens with it.
 */
import { equalBytes } from '../../shared/bytes.ts';
import type { Database } from './database.ts';

export interface PersonKey {
  userId: string;
  wrappedKey: Uint8Array;
}

export function driveKeyStore(db: Database) {
  const table = (name: 'driveKeys' | 'nextDriveKeys') => {
    const get = db.prepare(`SELECT wrappedKey FROM ${name} WHERE driveId = ? AND userId = ?`);
    const all = db.prepare(`SELECT userId, wrappedKey FROM ${name} WHERE driveId = ? ORDER BY userId`);
    const remove = db.prepare(`DELETE FROM ${name} WHERE driveId = ? AND userId = ?`);
    return {
      get: (driveId: string, userId: string) =>
        (get.get(driveId, userId) as { wrappedKey: Uint8Array } | undefined)?.wrappedKey,
      all: (driveId: string) => all.all(driveId) as unknown as PersonKey[],
      remove: (driveId: string, userId: string): void => void remove.run(driveId, userId),
    };
  };
  const present = table('driveKeys');
  const next = table('nextDriveKeys');
  const insert = db.prepare('INSERT INTO driveKeys VALUES (?, ?, ?) ON CONFLICT DO NOTHING');
  const replace = db.prepare(
    'INSERT INTO driveKeys VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET wrappedKey = excluded.wrappedKey',
  );
  const insertNext = db.prepare('INSERT INTO nextDriveKeys VALUES (?, ?, ?)');
  const takeOver = db.prepare(
    `INSERT INTO driveKeys SELECT driveId, userId, wrappedKey FROM nextDriveKeys WHERE driveId = ?
       ON CONFLICT DO UPDATE SET wrappedKey = excluded.wrappedKey`,
  );
  const removeNext = db.prepare('DELETE FROM nextDriveKeys WHERE driveId = ?');
  const insertRestored = db.prepare(
    `INSERT INTO restoredKeys SELECT ?, snapshots.driveId, wrappedKey FROM snapshotKeys JOIN snapshots USING (snapshotId)
       WHERE snapshotId = ?`,
  );
  const restored = db.prepare('SELECT oldDriveId, wrappedKey FROM restoredKeys WHERE driveId = ? ORDER BY rowid');
  return {
    get: present.get,
    getNext: next.get,
    /** Empty unless a change of key is open. */
    next: next.all,
    /** @returns false when another key is there. */
    put(driveId: string, userId: string, wrappedKey: Uint8Array): boolean {
      if (insert.run(driveId, userId, wrappedKey).changes === 1) return true;
      const stored = present.get(driveId, userId);
      return stored !== undefined && equalBytes(stored, wrappedKey);
    },
    /** For somebody else than the owner, who has their own. */
    share: (driveId: string, userId: string, wrappedKey: Uint8Array): void =>
      void replace.run(driveId, userId, wrappedKey),
    /** Of who loses the drive. */
    remove(driveId: string, userId: string): void {
      present.remove(driveId, userId);
      next.remove(driveId, userId);
    },
    /** In a transaction, when nothing is staged. */
    stage(driveId: string, keys: readonly PersonKey[]): void {
      for (const { userId, wrappedKey } of keys) insertNext.run(driveId, userId, wrappedKey);
    },
    /** In a transaction: everybody's next key becomes their key. */
    commit(driveId: string): void {
      takeOver.run(driveId);
      removeNext.run(driveId);
    },
    forget: (driveId: string): void => void removeNext.run(driveId),
    /** A drive that is made of a snapshot opens with what the snapshot's drive opened with. */
    restore: (driveId: string, snapshotId: string): void => void insertRestored.run(driveId, snapshotId),
    restored: (driveId: string) => restored.all(driveId) as unknown as { oldDriveId: string; wrappedKey: Uint8Array }[],
  };
}
