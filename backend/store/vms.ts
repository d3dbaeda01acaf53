/** VMs: what was asked for, who owns it, where it is. Its state is what its host reports. */
import { VmcError } from '../../shared/errors.ts';
import { type Database, isTaken } from './database.ts';

export interface VmRow {
  vmId: string;
  name: string;
  ownerId: string;
  hostId: string;
  image: string;
  cores: number;
  memoryMiB: number;
  /** creating: the host has not yet said that all of it is there. */
  phase: 'creating' | 'made';
  problem: string | null;
  tokenHash: Uint8Array;
  ed25519: Uint8Array | null;
  identity: string | null;
  createdAt: number;
}

export type NewVm = Omit<VmRow, 'phase' | 'problem' | 'ed25519' | 'identity'>;

export function vmStore(db: Database) {
  const insert = db.prepare(
    `INSERT INTO vms (vmId, name, ownerId, hostId, image, cores, memoryMiB, phase, tokenHash, createdAt)
       VALUES (:vmId, :name, :ownerId, :hostId, :image, :cores, :memoryMiB, 'creating', :tokenHash, :createdAt)`,
  );
  const get = db.prepare('SELECT * FROM vms WHERE vmId = ?');
  const all = db.prepare('SELECT * FROM vms ORDER BY createdAt, vmId');
  const owned = db.prepare('SELECT * FROM vms WHERE ownerId = ? ORDER BY createdAt, vmId');
  const onHost = db.prepare('SELECT * FROM vms WHERE hostId = ?');
  const count = db.prepare('SELECT count(*) AS n FROM vms WHERE ownerId = ?');
  const made = db.prepare("UPDATE vms SET phase = 'made', problem = NULL WHERE vmId = ?");
  const problem = db.prepare('UPDATE vms SET problem = ? WHERE vmId = ?');
  const interrupted = db.prepare("UPDATE vms SET problem = ? WHERE phase = 'creating' AND problem IS NULL");
  const bind = db.prepare(
    `UPDATE vms SET ed25519 = :ed25519, identity = :identity
       WHERE vmId = :vmId AND (ed25519 IS NULL OR identity = :identity)`,
  );
  const detachAll = db.prepare('DELETE FROM attachments WHERE vmId = ?');
  const remove = db.prepare('DELETE FROM vms WHERE vmId = ?');
  return {
    /** @throws VmcError 'already-exists'. */
    add(vm: NewVm): void {
      try {
        insert.run({ ...vm });
      } catch (error) {
        if (isTaken(error))
          throw new VmcError('already-exists', `You have a VM named ${vm.name} already.`, 'Choose another name.');
        throw error;
      }
    },
    get: (vmId: string) => get.get(vmId) as VmRow | undefined,
    list: () => all.all() as unknown as VmRow[],
    ownedBy: (userId: string) => owned.all(userId) as unknown as VmRow[],
    onHost: (hostId: string) => onHost.all(hostId) as unknown as VmRow[],
    countOf: (userId: string) => (count.get(userId) as { n: number }).n,
    setMade: (vmId: string): void => void made.run(vmId),
    setProblem: (vmId: string, text: string): void => void problem.run(text, vmId),
    /** At start: what was being made when the backend stopped. */
    markInterrupted: (text: string): void => void interrupted.run(text),
    /** Keys are bound once. @returns false when other keys are bound. */
    enrol: (vmId: string, keys: { ed25519: Uint8Array; identity: string }): boolean =>
      bind.run({ vmId, ...keys }).changes === 1,
    /** With its attachments; the drives stay. */
    remove(vmId: string): void {
      db.transaction(() => {
        detachAll.run(vmId);
        remove.run(vmId);
      });
    },
  };
}
