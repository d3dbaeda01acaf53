/**
 * The schema, step by step: step N brings `user_version` N to N + 1. A step that was released is never changed.
 * Times are milliseconds since 1970. No secret is in here: tokens and codes as SHA-256, drive keys wrapped.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE accounts (
    userId TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('super-admin', 'admin', 'sub-admin', 'user')),
    ed25519 BLOB NOT NULL UNIQUE,
    identity TEXT NOT NULL,
    createdAt INTEGER NOT NULL
  ) STRICT;

  -- expiresAt is null for the first account's code.
  CREATE TABLE codes (
    hash BLOB PRIMARY KEY,
    role TEXT NOT NULL,
    madeBy TEXT REFERENCES accounts,
    expiresAt INTEGER
  ) STRICT;

  CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,
    userId TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    expiresAt INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX sessionsByUser ON sessions (userId, expiresAt);

  CREATE TABLE hosts (
    hostId TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    tokenHash BLOB NOT NULL,
    ed25519 BLOB,
    identity TEXT,
    address TEXT,
    lastSeenAt INTEGER,
    createdAt INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE vms (
    vmId TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    ownerId TEXT NOT NULL REFERENCES accounts,
    hostId TEXT NOT NULL REFERENCES hosts,
    image TEXT NOT NULL,
    cores INTEGER NOT NULL,
    memoryMiB INTEGER NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('creating', 'made')),
    problem TEXT,
    tokenHash BLOB NOT NULL,
    ed25519 BLOB,
    identity TEXT,
    createdAt INTEGER NOT NULL,
    UNIQUE (ownerId, name)
  ) STRICT;

  CREATE TABLE drives (
    driveId TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    ownerId TEXT NOT NULL REFERENCES accounts,
    hostId TEXT NOT NULL REFERENCES hosts,
    format TEXT NOT NULL,
    sizeBytes INTEGER NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('creating', 'made', 'failed')),
    createdAt INTEGER NOT NULL,
    UNIQUE (ownerId, name)
  ) STRICT;

  CREATE TABLE attachments (
    driveId TEXT NOT NULL REFERENCES drives,
    vmId TEXT NOT NULL REFERENCES vms,
    readOnly INTEGER NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('attaching', 'attached', 'detaching')),
    PRIMARY KEY (driveId, vmId)
  ) STRICT;
  CREATE INDEX attachmentsByVm ON attachments (vmId);

  CREATE TABLE driveKeys (
    driveId TEXT NOT NULL REFERENCES drives ON DELETE CASCADE,
    userId TEXT NOT NULL REFERENCES accounts,
    wrappedKey BLOB NOT NULL,
    PRIMARY KEY (driveId, userId)
  ) STRICT;

  -- result is 'ok' or the code of the error.
  CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT,
    result TEXT NOT NULL
  ) STRICT;
  CREATE INDEX auditByTime ON audit (at);
  `,
  `
  CREATE TABLE vmPeople (
    vmId TEXT NOT NULL REFERENCES vms ON DELETE CASCADE,
    userId TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    mayInvite INTEGER NOT NULL,
    addedBy TEXT NOT NULL,
    addedAt INTEGER NOT NULL,
    PRIMARY KEY (vmId, userId)
  ) STRICT;
  CREATE INDEX vmPeopleByUser ON vmPeople (userId);
  `,
];
