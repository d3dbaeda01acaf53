/** A drive's file on its host (growing, checking, converting), and its snapshots. Long work answers with a job. */
import * as z from 'zod';
import { driveFormatSchema, driveSizeSchema } from '../agent-api/schemas.ts';
import { snapshotKindSchema, snapshotMethods, snapshotSchema, snapshotTargetSchema } from '../agent-api/snapshots.ts';
import { driveIdSchema, nameSchema, snapshotIdSchema } from '../names.ts';
import { jobSchema } from './jobs.ts';
import { driveSchema } from './machines.ts';
import { defineRoute, none } from './route.ts';

const byDrive = z.strictObject({ driveId: driveIdSchema });
const bySnapshot = z.strictObject({ snapshotId: snapshotIdSchema });

/** As the host has it, with what the backend knows. */
export const knownSnapshotSchema = snapshotSchema.extend({
  /** Of the drive when the snapshot was taken: the drive may be gone. */
  driveName: nameSchema,
});
export type KnownSnapshot = z.output<typeof knownSnapshotSchema>;

export const driveFileRoutes = {
  driveResize: defineRoute({
    method: 'POST',
    path: '/v1/drives/:driveId/resize',
    summary: 'Make a drive larger, live when it is attached. It never shrinks',
    auth: 'user',
    params: byDrive,
    body: z.strictObject({ sizeBytes: driveSizeSchema }),
    result: driveSchema,
  }),
  driveCheck: defineRoute({
    method: 'POST',
    path: '/v1/drives/:driveId/check',
    summary: 'Check the file of a detached drive',
    auth: 'user',
    params: byDrive,
    body: z.strictObject({ repair: z.boolean().default(false) }),
    result: jobSchema,
  }),
  driveConvert: defineRoute({
    method: 'POST',
    path: '/v1/drives/:driveId/convert',
    summary: 'Change a detached drive between raw and qcow2',
    auth: 'user',
    params: byDrive,
    body: z.strictObject({ format: driveFormatSchema }),
    result: jobSchema,
  }),
};

export const snapshotRoutes = {
  snapshotCreate: defineRoute({
    method: 'POST',
    path: '/v1/drives/:driveId/snapshots',
    summary: 'Copy a drive as it is now, to its host or to the site’s SFTP server',
    auth: 'user',
    params: byDrive,
    body: z.strictObject({
      kind: snapshotKindSchema.default('auto'),
      target: snapshotTargetSchema.default('pool'),
    }),
    /** Its `target` is the snapshot's id. */
    result: jobSchema,
  }),
  snapshotList: defineRoute({
    method: 'GET',
    path: '/v1/snapshots',
    summary: "Snapshots of the caller's drives, also of deleted ones, oldest first",
    auth: 'user',
    params: none,
    body: none,
    result: z.object({ snapshots: z.array(knownSnapshotSchema) }),
  }),
  snapshotVerify: defineRoute({
    method: 'POST',
    path: '/v1/snapshots/:snapshotId/verify',
    summary: 'Read a snapshot and all that it builds on, and compare the hashes',
    auth: 'user',
    params: bySnapshot,
    body: none,
    result: jobSchema,
  }),
  snapshotRestore: defineRoute({
    method: 'POST',
    path: '/v1/snapshots/:snapshotId/restore',
    summary: 'Make a new drive of a snapshot; it opens with the keys that the old drive had then',
    auth: 'user',
    params: bySnapshot,
    body: z.strictObject({ name: nameSchema, format: driveFormatSchema.default('qcow2') }),
    result: z.object({ drive: driveSchema, job: jobSchema }),
  }),
  snapshotDelete: defineRoute({
    method: 'DELETE',
    path: '/v1/snapshots/:snapshotId',
    summary: 'Delete a snapshot on which no other one builds, for ever',
    auth: 'user',
    params: bySnapshot,
    body: z.strictObject({ confirm: snapshotIdSchema }),
    result: z.object({}),
  }),
  snapshotForget: defineRoute({
    method: 'POST',
    path: '/v1/drives/:driveId/snapshots/forget',
    summary: "End what was begun with snapshots of a drive of the caller's, also when their server is gone for good",
    auth: 'user',
    params: byDrive,
    body: z.strictObject({ confirm: driveIdSchema }),
    result: snapshotMethods.snapshotForget.result,
  }),
};

export const driveCareRoutes = { ...driveFileRoutes, ...snapshotRoutes };
