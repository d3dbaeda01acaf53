/** Looking after a drive from inside the VM: growth, a short freeze for a snapshot, settings, and seeing it go. */
import * as z from 'zod';
import { driveIdSchema } from '../names.ts';
import { defineMethod } from './define.ts';
import { driveKeySchema, driveStatusSchema } from './drive.ts';

/** Nobody can write for so long at most, whatever becomes of who asked. */
export const MAX_FREEZE_SECONDS = 30;
/** Of its disk, with LUKS: the kernel gives no btrfs a new size below 256 MiB. */
export const LEAST_GROWN_BTRFS_BYTES = 272 * 1024 * 1024;

const byId = z.strictObject({ driveId: driveIdSchema });

export const driveCareMethods = {
  driveGrow: defineMethod({
    name: 'drive.grow',
    summary: 'Take the room that the host has added: block device, LUKS, file system. The drive stays mounted',
    right: 'drives.full',
    changes: true,
    params: byId.extend({ key: driveKeySchema }),
    result: driveStatusSchema,
    progress: true,
  }),
  driveSettings: defineMethod({
    name: 'drive.settings',
    summary: 'Whether the weekly trim includes this drive',
    right: 'drives',
    changes: true,
    params: byId.extend({ weeklyTrim: z.boolean() }),
    result: driveStatusSchema,
    progress: false,
  }),
  driveFreeze: defineMethod({
    name: 'drive.freeze',
    summary: 'Bring the file system to rest for a snapshot: writers wait. It thaws by itself when the time is over',
    right: 'drives',
    changes: true,
    params: byId.extend({ seconds: z.number().int().min(1).max(MAX_FREEZE_SECONDS).default(10) }),
    /** Unix time in milliseconds, by the VM's clock. */
    result: z.object({ frozenUntil: z.number().int() }),
    progress: false,
  }),
  driveThaw: defineMethod({
    name: 'drive.thaw',
    summary: 'Let writers go on',
    right: 'drives',
    changes: true,
    params: byId,
    /** False: the time was over before, and what was made meanwhile is only as good as after a power cut. */
    result: z.object({ wasFrozen: z.boolean() }),
    progress: false,
  }),
  driveWaitGone: defineMethod({
    name: 'drive.waitGone',
    summary: 'Wait until the device of a drive that was detached has gone from the VM',
    right: 'drives',
    changes: false,
    params: byId.extend({ seconds: z.number().int().min(0).max(60).default(30) }),
    result: z.object({ gone: z.boolean() }),
    progress: false,
  }),
};
