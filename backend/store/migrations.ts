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
  `
  -- unsure: the host was asked to change the file, and what it did is not known yet.
  ALTER TABLE drives ADD COLUMN unsure INTEGER NOT NULL DEFAULT 0;

  CREATE TABLE driveShares (
    driveId TEXT NOT NULL REFERENCES drives ON DELETE CASCADE,
    userId TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    access TEXT NOT NULL CHECK (access IN ('ro', 'rw')),
    since INTEGER NOT NULL,
    PRIMARY KEY (driveId, userId)
  ) STRICT;
  CREATE INDEX driveSharesByUser ON driveShares (userId);

  -- Keys of people with whom a drive is shared go with their account.
  CREATE TABLE newDriveKeys (
    driveId TEXT NOT NULL REFERENCES drives ON DELETE CASCADE,
    userId TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    wrappedKey BLOB NOT NULL,
    PRIMARY KEY (driveId, userId)
  ) STRICT;
  INSERT INTO newDriveKeys SELECT driveId, userId, wrappedKey FROM driveKeys;
  DROP TABLE driveKeys;
  ALTER TABLE newDriveKeys RENAME TO driveKeys;

  -- While a change of key is open.
  CREATE TABLE nextDriveKeys (
    driveId TEXT NOT NULL REFERENCES drives ON DELETE CASCADE,
    userId TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    wrappedKey BLOB NOT NULL,
    PRIMARY KEY (driveId, userId)
  ) STRICT;

  -- Of a drive that was made of a snapshot of another one: the owner's keys of that one.
  CREATE TABLE restoredKeys (
    driveId TEXT NOT NULL REFERENCES drives ON DELETE CASCADE,
    oldDriveId TEXT NOT NULL,
    wrappedKey BLOB NOT NULL
  ) STRICT;
  CREATE INDEX restoredKeysByDrive ON restoredKeys (driveId);

  CREATE TABLE driveHeaders (
    driveId TEXT NOT NULL REFERENCES drives ON DELETE CASCADE,
    storedAt INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (driveId, storedAt)
  ) STRICT;

  -- driveId may be gone. told: what the host said of it, as JSON; null until it has.
  -- unsureAt: since then it is not known whether the host has it.
  CREATE TABLE snapshots (
    snapshotId TEXT PRIMARY KEY,
    driveId TEXT NOT NULL,
    driveName TEXT NOT NULL,
    ownerId TEXT NOT NULL REFERENCES accounts,
    hostId TEXT NOT NULL REFERENCES hosts,
    begunAt INTEGER NOT NULL,
    told TEXT,
    unsureAt INTEGER
  ) STRICT;
  CREATE INDEX snapshotsByOwner ON snapshots (ownerId);
  CREATE INDEX snapshotsByHost ON snapshots (hostId);

  -- The owner's keys of the drive when it was taken: the drive's own may change, or go with it.
  CREATE TABLE snapshotKeys (
    snapshotId TEXT NOT NULL REFERENCES snapshots ON DELETE CASCADE,
    wrappedKey BLOB NOT NULL,
    PRIMARY KEY (snapshotId, wrappedKey)
  ) STRICT;
  `,
];
