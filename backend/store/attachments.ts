/** Which drive is at which VM. A drive is at one VM read-write, or at any number read-only, never both (H3). */
import type { Database } from './database.ts';

export interface Attachment {
  driveId: string;
  vmId: string;
  readOnly: boolean;
  /** attaching, detaching: the host was asked and has not answered yet. */
  phase: 'attaching' | 'attached' | 'detaching';
}

type Row = Omit<Attachment, 'readOnly'> & { readOnly: number };
const fromRow = (row: Row): Attachment => ({ ...row, readOnly: row.readOnly === 1 });

export function attachmentStore(db: Database) {
  const insert = db.prepare('INSERT INTO attachments VALUES (?, ?, ?, ?)');
  const upsert = db.prepare(
    `INSERT INTO attachments VALUES (?, ?, ?, 'attached')
       ON CONFLICT DO UPDATE SET readOnly = excluded.readOnly, phase = excluded.phase`,
  );
  const ofDrive = db.prepare('SELECT * FROM attachments WHERE driveId = ? ORDER BY vmId');
  const ofVm = db.prepare('SELECT * FROM attachments WHERE vmId = ? ORDER BY driveId');
  const setPhase = db.prepare('UPDATE attachments SET phase = ? WHERE driveId = ? AND vmId = ?');
  const remove = db.prepare('DELETE FROM attachments WHERE driveId = ? AND vmId = ?');
  const listOfDrive = (driveId: string) => (ofDrive.all(driveId) as unknown as Row[]).map(fromRow);
  return {
    /** Reserves the attachment before the host is asked. @returns what stands against it, or undefined when it is reserved. */
    reserve: (driveId: string, vmId: string, readOnly: boolean): Attachment | undefined =>
      db.transaction(() => {
        const inTheWay = listOfDrive(driveId).find((it) => it.vmId === vmId || !readOnly || !it.readOnly);
        if (inTheWay === undefined) insert.run(driveId, vmId, readOnly ? 1 : 0, 'attaching');
        return inTheWay;
      }),
    /** What the host says is so. */
    confirm: (driveId: string, vmId: string, readOnly: boolean): void =>
      void upsert.run(driveId, vmId, readOnly ? 1 : 0),
    setPhase: (driveId: string, vmId: string, phase: Attachment['phase']): void =>
      void setPhase.run(phase, driveId, vmId),
    remove: (driveId: string, vmId: string): void => void remove.run(driveId, vmId),
    ofDrive: listOfDrive,
    ofVm: (vmId: string) => (ofVm.all(vmId) as unknown as Row[]).map(fromRow),
  };
}
