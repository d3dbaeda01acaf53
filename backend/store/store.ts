/** All that the backend remembers. */
import { join } from 'node:path';
import { accountStore } from './accounts.ts';
import { attachmentStore } from './attachments.ts';
import { auditStore } from './audit.ts';
import { codeStore } from './codes.ts';
import { Database } from './database.ts';
import { driveHeaderStore } from './drive-headers.ts';
import { driveKeyStore } from './drive-keys.ts';
import { driveShareStore } from './drive-shares.ts';
import { driveStore } from './drives.ts';
import { hostStore } from './hosts.ts';
import { sessionStore } from './sessions.ts';
import { snapshotStore } from './snapshots.ts';
import { vmPeopleStore } from './vm-people.ts';
import { vmStore } from './vms.ts';

export type Store = ReturnType<typeof openStore>;

export function openStore(stateDir: string) {
  const db = new Database(join(stateDir, 'backend.sqlite'));
  return {
    transaction: <T>(work: () => T): T => db.transaction(work),
    close: () => db.close(),
    accounts: accountStore(db),
    codes: codeStore(db),
    sessions: sessionStore(db),
    hosts: hostStore(db),
    vms: vmStore(db),
    vmPeople: vmPeopleStore(db),
    drives: driveStore(db),
    driveKeys: driveKeyStore(db),
    driveShares: driveShareStore(db),
    driveHeaders: driveHeaderStore(db),
    snapshots: snapshotStore(db),
    attachments: attachmentStore(db),
    audit: auditStore(db),
  };
}
