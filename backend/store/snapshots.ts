/**
 * Snapshots of drives: whose they are, on which host, and what it said of them. Written before the host is asked, so that
 * none is there that nobody knows.
 */
import type { Snapshot } from '../../shared/agent-api/snapshots.ts';
import type { Database } from './database.ts';

export interface SnapshotRow {
  snapshotId: string;
  /** May be gone. */
  driveId: string;
  /** When the snapshot was taken. */
  driveName: string;
  ownerId: string;
  hostId: string;
  begunAt: number;
  /** What the host said; null until it has. */
  told: Snapshot | null;
  /** Since then it is not known whether the host has it. */
  unsureAt: number | null;
}

type Row = Omit<SnapshotRow, 'told'> & { told: string | null };
const fromRow = (row: Row): SnapshotRow => ({ ...row, told: row.told === null ? null : JSON.parse(row.told) });

export function snapshotStore(db: Database) {
  const insert = db.prepare(
    `INSERT INTO snapshots (snapshotId, driveId, driveName, ownerId, hostId, begunAt)
       VALUES (:snapshotId, :driveId, :driveName, :ownerId, :hostId, :begunAt)`,
  );
  const get = db.prepare('SELECT * FROM snapshots WHERE snapshotId = ?');
  const owned = db.prepare(
    'SELECT * FROM snapshots WHERE ownerId = ? AND told IS NOT NULL ORDER BY begunAt, snapshotId',
  );
  const open = db.prepare('SELECT * FROM snapshots WHERE hostId = ? AND told IS NULL ORDER BY begunAt');
  const count = db.prepare('SELECT count(*) AS n FROM snapshots WHERE ownerId = ?');
  const setTold = db.prepare('UPDATE snapshots SET told = ?, unsureAt = NULL WHERE snapshotId = ?');
  const setUnsure = db.prepare('UPDATE snapshots SET unsureAt = ? WHERE snapshotId = ? AND told IS NULL');
  const interrupted = db.prepare('UPDATE snapshots SET unsureAt = ? WHERE told IS NULL AND unsureAt IS NULL');
  const remove = db.prepare('DELETE FROM snapshots WHERE snapshotId = ?');
  const addKeys = db.prepare(
    `INSERT INTO snapshotKeys SELECT :snapshotId, wrappedKey FROM driveKeys WHERE driveId = :driveId AND userId = :ownerId
       UNION SELECT :snapshotId, wrappedKey FROM nextDriveKeys WHERE driveId = :driveId AND userId = :ownerId`,
  );
  const addKey = db.prepare(
    `INSERT INTO snapshotKeys SELECT snapshotId, :wrappedKey FROM snapshots
       WHERE driveId = :driveId AND told IS NULL ON CONFLICT DO NOTHING`,
  );
  return {
    /** With the keys that its owner has for the drive now. */
    begin: (row: Omit<SnapshotRow, 'told' | 'unsureAt'>): void =>
      db.transaction(() => {
        insert.run({ ...row });
        const { snapshotId, driveId, ownerId } = row;
        addKeys.run({ snapshotId, driveId, ownerId });
      }),
    /** The owner stores or changes the drive's key: it may be the one in a snapshot that is being taken. */
    addKey: (driveId: string, wrappedKey: Uint8Array): void => void addKey.run({ driveId, wrappedKey }),
    get(snapshotId: string): SnapshotRow | undefined {
      const row = get.get(snapshotId) as Row | undefined;
      return row === undefined ? undefined : fromRow(row);
    },
    /** Those that there are, oldest first. */
    ownedBy: (userId: string) => (owned.all(userId) as unknown as Row[]).map(fromRow),
    /** Those of which the host has not said that it has them. */
    openOn: (hostId: string) => (open.all(hostId) as unknown as Row[]).map(fromRow),
    /** Open ones too. */
    countOf: (userId: string) => (count.get(userId) as { n: number }).n,
    setTold: (told: Snapshot): void => void setTold.run(JSON.stringify(told), told.snapshotId),
    setUnsure: (snapshotId: string, now: number): void => void setUnsure.run(now, snapshotId),
    /** At start: those that were being taken when the backend stopped. */
    markInterrupted: (now: number): void => void interrupted.run(now),
    remove: (snapshotId: string): void => void remove.run(snapshotId),
  };
}
