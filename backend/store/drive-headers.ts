/** Backups of drives' LUKS headers, sealed on their owners' devices: the newest two of each drive. */
import { equalBytes } from '../../shared/bytes.ts';
import type { Database } from './database.ts';

export interface DriveHeader {
  /** Milliseconds since 1970; later than that of every older one of the drive. */
  storedAt: number;
  sealed: Uint8Array;
}

const KEPT = 2;

export function driveHeaderStore(db: Database) {
  const insert = db.prepare('INSERT INTO driveHeaders VALUES (?, ?, ?)');
  const all = db.prepare('SELECT storedAt, sealed FROM driveHeaders WHERE driveId = ? ORDER BY storedAt DESC');
  const removeOlder = db.prepare(
    `DELETE FROM driveHeaders WHERE driveId = :driveId AND storedAt NOT IN
       (SELECT storedAt FROM driveHeaders WHERE driveId = :driveId ORDER BY storedAt DESC LIMIT ${KEPT})`,
  );
  const list = (driveId: string) => all.all(driveId) as unknown as DriveHeader[];
  return {
    /** The same one again does not push the older one out. @returns when it was stored. */
    add: (driveId: string, sealed: Uint8Array, now: number): number =>
      db.transaction(() => {
        const [newest] = list(driveId);
        if (newest !== undefined && equalBytes(newest.sealed, sealed)) return newest.storedAt;
        const storedAt = Math.max(now, (newest?.storedAt ?? 0) + 1);
        insert.run(driveId, storedAt, sealed);
        removeOlder.run({ driveId });
        return storedAt;
      }),
    /** Newest first. */
    list,
  };
}
