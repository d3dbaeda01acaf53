/** Who did what to what, when, and how it ended. */
import type { Database } from './database.ts';

export interface AuditEntry {
  /** Milliseconds since 1970. */
  at: number;
  /** A user, VM or host id, or 'system'. */
  actor: string;
  /** The name of the route, or e.g. 'relay.pair'. */
  action: string;
  target: string | null;
  /** 'ok' or the code of the error. */
  result: string;
}

export function auditStore(db: Database) {
  const insert = db.prepare(
    'INSERT INTO audit (at, actor, action, target, result) VALUES (:at, :actor, :action, :target, :result)',
  );
  const latest = db.prepare(
    'SELECT * FROM (SELECT * FROM audit WHERE id < :before ORDER BY id DESC LIMIT :limit) ORDER BY id',
  );
  const removeOld = db.prepare('DELETE FROM audit WHERE at < ?');
  return {
    add: (entry: AuditEntry): void => void insert.run({ ...entry }),
    /** The newest `limit` entries before number `before`, oldest first. */
    latest: (limit: number, before = Number.MAX_SAFE_INTEGER) =>
      latest.all({ limit, before }) as unknown as (AuditEntry & { id: number })[],
    removeBefore: (time: number): void => void removeOld.run(time),
  };
}
