/** Which people besides its owner may reach a VM's door: the relay and endpoints. What they may do inside, the VM decides. */
import type { Database } from './database.ts';

export interface VmPerson {
  vmId: string;
  userId: string;
  /** They may let others in, too. */
  mayInvite: boolean;
  addedBy: string;
  addedAt: number;
}

type Row = Omit<VmPerson, 'mayInvite'> & { mayInvite: number };
const fromRow = (row: Row): VmPerson => ({ ...row, mayInvite: row.mayInvite === 1 });

export function vmPeopleStore(db: Database) {
  const put = db.prepare(
    `INSERT INTO vmPeople VALUES (:vmId, :userId, :mayInvite, :addedBy, :addedAt)
       ON CONFLICT DO UPDATE SET mayInvite = excluded.mayInvite`,
  );
  const get = db.prepare('SELECT * FROM vmPeople WHERE vmId = ? AND userId = ?');
  const ofVm = db.prepare('SELECT * FROM vmPeople WHERE vmId = ? ORDER BY addedAt, userId');
  const ofUser = db.prepare('SELECT vmId FROM vmPeople WHERE userId = ?');
  const remove = db.prepare('DELETE FROM vmPeople WHERE vmId = ? AND userId = ?');
  return {
    /** Adds them, or changes whether they may invite; who added them stays. */
    put: (person: VmPerson): void => void put.run({ ...person, mayInvite: person.mayInvite ? 1 : 0 }),
    get(vmId: string, userId: string): VmPerson | undefined {
      const row = get.get(vmId, userId) as Row | undefined;
      return row === undefined ? undefined : fromRow(row);
    },
    ofVm: (vmId: string) => (ofVm.all(vmId) as unknown as Row[]).map(fromRow),
    vmsOf: (userId: string) => (ofUser.all(userId) as { vmId: string }[]).map(({ vmId }) => vmId),
    remove: (vmId: string, userId: string): void => void remove.run(vmId, userId),
  };
}
