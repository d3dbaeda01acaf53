/** Drives, seen from inside the VM: LUKS, file system, mount, trim. */
import * as z from 'zod';
import { base64Schema, driveIdSchema, nameSchema } from '../names.ts';
import { defineMethod } from './define.ts';

/** 32 random bytes made on the user's device. */
export const driveKeySchema = base64Schema(32, 32);
export const fileSystemSchema = z.enum(['ext4', 'xfs', 'btrfs']);
export type FileSystem = z.output<typeof fileSystemSchema>;

/** absent: not attached · blank · locked: LUKS, closed · open: mapped, not mounted · mounted · foreign: holds other data */
export const driveStateSchema = z.enum(['absent', 'blank', 'locked', 'open', 'mounted', 'foreign']);

export const driveStatusSchema = z.object({
  driveId: driveIdSchema,
  state: driveStateSchema,
  sizeBytes: z.number().int().optional(),
  /** e.g. /mnt/data */
  mountPoint: z.string().optional(),
  readOnly: z.boolean().optional(),
  fileSystem: z.string().optional(),
  freeBytes: z.number().int().optional(),
  /** Formatting it was cut short: nobody's data are on it. */
  unfinished: z.literal(true).optional(),
  /** While a re-encryption is under way, or was stopped and can go on. */
  reencryption: z.object({ doneBytes: z.number().int(), totalBytes: z.number().int() }).optional(),
  /** Whether the weekly trim includes it. */
  weeklyTrim: z.boolean().optional(),
  /** Writers wait until then at most: Unix time in milliseconds, by the VM's clock. */
  frozenUntil: z.number().int().optional(),
  /** Why it cannot be used as it is: its disk was taken away while it was open; or, with state foreign in a list, it could not be looked at. */
  problem: z.string().max(600).optional(),
  /** In the answer of drive.open, when the file system was not left in order before. */
  check: z
    .object({
      /** e.g. e2fsck */
      tool: z.string().max(64),
      /** Whether it changed something. */
      repaired: z.boolean(),
      /** Its last lines. */
      said: z.array(z.string().max(200)).max(20),
    })
    .optional(),
});
export type DriveStatus = z.infer<typeof driveStatusSchema>;

const byId = z.strictObject({ driveId: driveIdSchema });

export const driveMethods = {
  driveList: defineMethod({
    name: 'drive.list',
    summary: 'Every attached drive and its state',
    right: 'drives',
    changes: false,
    params: z.strictObject({}),
    result: z.object({ drives: z.array(driveStatusSchema) }),
    progress: false,
  }),
  driveFormat: defineMethod({
    name: 'drive.format',
    summary: 'Put LUKS2 and an empty file system on a blank drive',
    right: 'drives.full',
    changes: true,
    params: z.strictObject({
      driveId: driveIdSchema,
      key: driveKeySchema,
      fileSystem: fileSystemSchema.default('ext4'),
      /** The drive's id once more, to overwrite a drive that holds data. */
      overwrite: driveIdSchema.optional(),
    }),
    result: driveStatusSchema,
    progress: true,
  }),
  driveOpen: defineMethod({
    name: 'drive.open',
    summary: 'Unlock a drive and mount it under /mnt',
    right: 'drives',
    changes: true,
    params: z.strictObject({
      driveId: driveIdSchema,
      key: driveKeySchema,
      /** Folder under /mnt. */
      name: nameSchema,
      readOnly: z.boolean().default(false),
      /** Repair a damaged file system first, whatever that loses of it. Takes the right drives.full. */
      repair: z.boolean().default(false),
    }),
    result: driveStatusSchema,
    progress: true,
  }),
  driveClose: defineMethod({
    name: 'drive.close',
    summary: 'Unmount a drive and lock it again; says who holds it when it is busy',
    right: 'drives',
    changes: true,
    params: byId.extend({
      /** It is to be detached next: for a minute, or until its disk has gone, nobody opens it. */
      leaving: z.boolean().default(false),
    }),
    result: driveStatusSchema,
    progress: false,
  }),
  driveTrim: defineMethod({
    name: 'drive.trim',
    summary: 'Give unused blocks of a mounted drive back to the host',
    right: 'drives',
    changes: true,
    params: byId,
    /** What fstrim reported; the host's own figure is asked of the host. */
    result: z.object({ trimmedBytes: z.number().int() }),
    progress: true,
  }),
};
