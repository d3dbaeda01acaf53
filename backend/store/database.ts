/** The backend's SQLite file: opened safely, migrated, and with transactions. See https://www.sqlite.org/wal.html. */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { VmcError } from '../../shared/errors.ts';
import { migrations } from './migrations.ts';

export class Database {
  readonly #db: DatabaseSync;

  /** @throws VmcError 'bad-data' when a newer version of the backend wrote the file. */
  constructor(path: string) {
    closeSync(openSync(path, 'a', 0o600)); // SQLite makes its files as the umask says, and -wal and -shm like the main one
    this.#db = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: 5000 });
    this.#db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF');
    try {
      this.#migrate();
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  prepare(sql: string): StatementSync {
    return this.#db.prepare(sql);
  }

  /** All of it or nothing. Not nested; `work` does not wait for anything. */
  transaction<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (error) {
      this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  close(): void {
    this.#db.close();
  }

  #migrate(): void {
    this.transaction(() => {
      const { version } = this.#db.prepare('SELECT user_version AS version FROM pragma_user_version').get() as {
        version: number;
      };
      if (version > migrations.length)
        throw new VmcError(
          'bad-data',
          `The backend's database has version ${version}; this program knows ${migrations.length}.`,
          'Install the newer backend again, or restore an older database.',
        );
      for (const sql of migrations.slice(version)) this.#db.exec(sql);
      this.#db.exec(`PRAGMA user_version = ${migrations.length}`);
    });
  }
}

/** True for the breach of a UNIQUE or PRIMARY KEY constraint (https://www.sqlite.org/rescode.html#constraint_unique). */
export function isTaken(error: unknown): boolean {
  const code = error instanceof Error && 'errcode' in error ? error.errcode : undefined;
  return code === 2067 || code === 1555;
}
