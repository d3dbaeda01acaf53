/** With whom a drive is shared, and whether they may write. Their keys of it are in drive-keys.ts. */
import type { DriveAccess } from '../../shared/rest-api/drive-people.ts';
import type { Database } from './database.ts';

export interface DriveShare {
  driveId: string;
  userId: string;
  access: DriveAccess;
  /** Milliseconds since 1970. */
  since: number;
}

export function driveShareStore(db: Database) {
  const put = db.prepare(
    `INSERT INTO driveShares VALUES (:driveId, :userId, :access, :since)
       ON CONFLICT DO UPDATE SET access = excluded.access`,
  );
  const get = db.prepare('SELECT * FROM driveShares WHERE driveId = ? AND userId = ?');
  const ofDrive = db.prepare('SELECT * FROM driveShares WHERE driveId = ? ORDER BY since, userId');
  const ofUser = db.prepare('SELECT * FROM driveShares WHERE userId = ? ORDER BY since, driveId');
  const count = db.prepare('SELECT count(*) AS n FROM driveShares WHERE userId = ?');
  const remove = db.prepare('DELETE FROM driveShares WHERE driveId = ? AND userId = ?');
  return {
    /** Adds them, or changes their access; since when stays. */
    put: (share: DriveShare): void => void put.run({ ...share }),
    get: (driveId: string, userId: string) => get.get(driveId, userId) as DriveShare | undefined,
    ofDrive: (driveId: string) => ofDrive.all(driveId) as unknown as DriveShare[],
    ofUser: (userId: string) => ofUser.all(userId) as unknown as DriveShare[],
    countOf: (userId: string) => (count.get(userId) as { n: number }).n,
    remove: (driveId: string, userId: string): void => void remove.run(driveId, userId),
  };
}
