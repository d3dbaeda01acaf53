/** VM hosts, as they were registered and enrolled. What they report is kept in memory (hosts/links.ts). */
import { VmcError } from '../../shared/errors.ts';
import { type Database, isTaken } from './database.ts';

export interface HostRow {
  hostId: string;
  name: string;
  tokenHash: Uint8Array;
  ed25519: Uint8Array | null;
  identity: string | null;
  address: string | null;
  lastSeenAt: number | null;
  createdAt: number;
}

export function hostStore(db: Database) {
  const insert = db.prepare(
    'INSERT INTO hosts (hostId, name, tokenHash, createdAt) VALUES (:hostId, :name, :tokenHash, :createdAt)',
  );
  const get = db.prepare('SELECT * FROM hosts WHERE hostId = ?');
  const all = db.prepare('SELECT * FROM hosts ORDER BY name');
  const bind = db.prepare(
    `UPDATE hosts SET ed25519 = :ed25519, identity = :identity, address = :address
       WHERE hostId = :hostId AND (ed25519 IS NULL OR identity = :identity)`,
  );
  const seen = db.prepare('UPDATE hosts SET lastSeenAt = ? WHERE hostId = ?');
  return {
    /** @throws VmcError 'already-exists'. */
    add(host: Pick<HostRow, 'hostId' | 'name' | 'tokenHash' | 'createdAt'>): void {
      try {
        insert.run({ ...host });
      } catch (error) {
        if (isTaken(error))
          throw new VmcError('already-exists', `There is a host ${host.name} already.`, 'Choose another name.');
        throw error;
      }
    },
    get: (hostId: string) => get.get(hostId) as HostRow | undefined,
    list: () => all.all() as unknown as HostRow[],
    /** Keys are bound once; the address may change. @returns false when other keys are bound. */
    enrol: (hostId: string, keys: { ed25519: Uint8Array; identity: string; address: string }): boolean =>
      bind.run({ hostId, ...keys }).changes === 1,
    seen: (hostId: string, now: number): void => void seen.run(now, hostId),
  };
}
