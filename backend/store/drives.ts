/** Drives and their wrapped keys. */
import { VmcError } from '../../shared/errors.ts';
import { type Database, isTaken } from './database.ts';

export interface DriveRow {
  driveId: string;
  name: string;
  ownerId: string;
  hostId: string;
  format: 'qcow2' | 'raw';
  sizeBytes: number;
  /** failed: whether the host holds a file of it is not known; it can only be deleted. */
  phase: 'creating' | 'made' | 'failed';
  createdAt: number;
}

export function driveStore(db: Database) {
  const insert = db.prepare(
    `INSERT INTO drives VALUES (:driveId, :name, :ownerId, :hostId, :format, :sizeBytes, 'creating', :createdAt)`,
  );
  const get = db.prepare('SELECT * FROM drives WHERE driveId = ?');
  const owned = db.prepare('SELECT * FROM drives WHERE ownerId = ? ORDER BY createdAt, driveId');
  const count = db.prepare('SELECT count(*) AS n FROM drives WHERE ownerId = ?');
  const setPhase = db.prepare('UPDATE drives SET phase = ? WHERE driveId = ?');
  const interrupted = db.prepare("UPDATE drives SET phase = 'failed' WHERE phase = 'creating'");
  const remove = db.prepare('DELETE FROM drives WHERE driveId = ?');
  return {
    /** @throws VmcError 'already-exists'. */
    add(drive: Omit<DriveRow, 'phase'>): void {
      try {
        insert.run({ ...drive });
      } catch (error) {
        if (isTaken(error))
          throw new VmcError('already-exists', `You have a drive named ${drive.name} already.`, 'Choose another name.');
        throw error;
      }
    },
    get: (driveId: string) => get.get(driveId) as DriveRow | undefined,
    ownedBy: (userId: string) => owned.all(userId) as unknown as DriveRow[],
    countOf: (userId: string) => (count.get(userId) as { n: number }).n,
    setPhase: (driveId: string, phase: DriveRow['phase']): void => void setPhase.run(phase, driveId),
    /** At start: what was being made when the backend stopped. */
    markInterrupted: (): void => void interrupted.run(),
    remove: (driveId: string): void => void remove.run(driveId),
  };
}
