/** Drives: what was asked for, and what their hosts said of their files. */
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
  /** 1: the host was asked to change the file, and what it did is not known yet. */
  unsure: 0 | 1;
}

export function driveStore(db: Database) {
  const insert = db.prepare(
    `INSERT INTO drives (driveId, name, ownerId, hostId, format, sizeBytes, phase, createdAt)
       VALUES (:driveId, :name, :ownerId, :hostId, :format, :sizeBytes, 'creating', :createdAt)`,
  );
  const get = db.prepare('SELECT * FROM drives WHERE driveId = ?');
  const owned = db.prepare('SELECT * FROM drives WHERE ownerId = ? ORDER BY createdAt, driveId');
  const count = db.prepare('SELECT count(*) AS n FROM drives WHERE ownerId = ?');
  const setPhase = db.prepare('UPDATE drives SET phase = ? WHERE driveId = ?');
  const setUnsure = db.prepare('UPDATE drives SET unsure = 1 WHERE driveId = ?');
  const setFile = db.prepare('UPDATE drives SET format = ?, sizeBytes = ?, unsure = 0 WHERE driveId = ?');
  const unsure = db.prepare("SELECT * FROM drives WHERE hostId = ? AND unsure = 1 AND phase = 'made'");
  const interrupted = db.prepare("UPDATE drives SET phase = 'failed' WHERE phase = 'creating'");
  const remove = db.prepare('DELETE FROM drives WHERE driveId = ?');
  return {
    /** @throws VmcError 'already-exists'. */
    add(drive: Omit<DriveRow, 'phase' | 'unsure'>): void {
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
    /** Before the host is asked to change the file. */
    setUnsure: (driveId: string): void => void setUnsure.run(driveId),
    /** As the host says it is. */
    setFile: (driveId: string, { format, sizeBytes }: Pick<DriveRow, 'format' | 'sizeBytes'>): void =>
      void setFile.run(format, sizeBytes, driveId),
    unsureOn: (hostId: string) => unsure.all(hostId) as unknown as DriveRow[],
    /** At start: what was being made when the backend stopped. */
    markInterrupted: (): void => void interrupted.run(),
    remove: (driveId: string): void => void remove.run(driveId),
  };
}
