/** Snapshots of drives (H8): ciphertext copied off a running or a stopped VM, whole or what changed since the last one. */
import * as z from 'zod';
import { driveIdSchema, sha256HexSchema, snapshotIdSchema } from '../names.ts';
import { defineAgentMethod } from './define.ts';
import { driveFileSchema, driveFormatSchema } from './schemas.ts';

/** auto: incremental where there is one to build on, else full. */
export const snapshotKindSchema = z.enum(['auto', 'full', 'incremental']);
/** pool: the host's snapshots folder · sftp: the server that host-agent.toml names */
export const snapshotTargetSchema = z.enum(['pool', 'sftp']);

export const snapshotSchema = z.object({
  snapshotId: snapshotIdSchema,
  driveId: driveIdSchema,
  kind: z.enum(['full', 'incremental']),
  /** Of an incremental one: what it builds on. */
  parentId: snapshotIdSchema.optional(),
  /** Of a full one where `auto` was asked for: why. */
  fullBecause: z.string().max(300).optional(),
  target: snapshotTargetSchema,
  /** What the drive held, in bytes. */
  sizeBytes: z.number().int(),
  /** What the snapshot's own file takes. */
  storedBytes: z.number().int(),
  sha256: sha256HexSchema,
  /** The moment that it shows; milliseconds since 1970. */
  takenAt: z.number().int(),
});
export type Snapshot = z.output<typeof snapshotSchema>;

/** A snapshot that was being made or deleted, and what may remain of it on the server, by `server:path`. */
export const forgottenSchema = z.object({
  snapshotId: snapshotIdSchema,
  doing: z.enum(['making', 'deleting']),
  remains: z.array(z.string().max(4096)).max(8),
});
export type Forgotten = z.output<typeof forgottenSchema>;

/**
 * The step of `snapshot.create`'s progress from which on the moment is fixed: the guest may write again. Every step
 * before it has another name.
 */
export const SNAPSHOT_COPYING = 'copying';

const bySnapshot = z.strictObject({ snapshotId: snapshotIdSchema });

export const snapshotMethods = {
  snapshotCreate: defineAgentMethod({
    name: 'snapshot.create',
    summary: 'Copy a drive as it is now. Cancelled or cut short, nothing of it stays',
    right: 'backend',
    changes: true,
    params: z.strictObject({
      snapshotId: snapshotIdSchema,
      driveId: driveIdSchema,
      kind: snapshotKindSchema,
      target: snapshotTargetSchema,
    }),
    result: snapshotSchema,
    progress: true,
  }),
  snapshotList: defineAgentMethod({
    name: 'snapshot.list',
    summary: 'Snapshots of this host, of one drive or of all, oldest first, or whether it has a certain one',
    right: 'backend',
    changes: false,
    /** With an id: that one only, if it is there. */
    params: z.strictObject({ driveId: driveIdSchema.optional(), snapshotId: snapshotIdSchema.optional() }),
    result: z.object({ snapshots: z.array(snapshotSchema).max(10_000) }),
    progress: false,
  }),
  snapshotVerify: defineAgentMethod({
    name: 'snapshot.verify',
    summary: 'Read a snapshot and all that it builds on, and compare the hashes',
    right: 'backend',
    changes: false,
    params: bySnapshot,
    /** The first one of the chain that is not as it was written, and why. */
    result: z.object({ ok: z.boolean(), badId: snapshotIdSchema.optional(), problem: z.string().optional() }),
    progress: true,
  }),
  snapshotRestore: defineAgentMethod({
    name: 'snapshot.restore',
    summary: 'Make a new drive of a snapshot; its hashes are checked on the way',
    right: 'backend',
    changes: true,
    params: bySnapshot.extend({ newDriveId: driveIdSchema, format: driveFormatSchema }),
    result: driveFileSchema,
    progress: true,
  }),
  snapshotDelete: defineAgentMethod({
    name: 'snapshot.delete',
    summary: 'Delete a snapshot on which no other one builds',
    right: 'backend',
    changes: true,
    params: bySnapshot,
    result: z.object({}),
    progress: false,
  }),
  snapshotForget: defineAgentMethod({
    name: 'snapshot.forget',
    summary: 'End what was begun with snapshots of a drive, also when their server is gone for good',
    right: 'backend',
    changes: true,
    params: z.strictObject({ driveId: driveIdSchema }),
    /** What is ended: after `deleting` the snapshot is gone. */
    result: z.object({ forgotten: z.array(forgottenSchema).max(10_000) }),
    progress: false,
  }),
};
