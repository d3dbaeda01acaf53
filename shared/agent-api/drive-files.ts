/** Drive files on the host beyond making and attaching: growing, checking, converting. */
import * as z from 'zod';
import { driveIdSchema } from '../names.ts';
import { defineAgentMethod } from './define.ts';
import { driveFileSchema, driveFormatSchema, driveSizeSchema } from './schemas.ts';

export const driveCheckSchema = z.object({
  /** good: nothing is wrong · leaks: space is lost, no data · damaged: data may be */
  state: z.enum(['good', 'leaks', 'damaged']),
  leakedClusters: z.number().int(),
  corruptions: z.number().int(),
  /** Whether leaks were given back. */
  repaired: z.boolean(),
});
export type DriveCheck = z.output<typeof driveCheckSchema>;

export const driveFileMethods = {
  driveResize: defineAgentMethod({
    name: 'drive.resize',
    summary: 'Make a drive larger, live when it is attached. It never shrinks; repeating it finishes what was begun',
    right: 'backend',
    changes: true,
    params: z.strictObject({ driveId: driveIdSchema, sizeBytes: driveSizeSchema }),
    result: driveFileSchema,
    progress: false,
  }),
  driveCheck: defineAgentMethod({
    name: 'drive.check',
    summary: 'Check the file of a detached drive; give back leaked space if asked',
    right: 'backend',
    changes: true,
    params: z.strictObject({ driveId: driveIdSchema, repair: z.boolean() }),
    result: driveCheckSchema,
    progress: true,
  }),
  driveConvert: defineAgentMethod({
    name: 'drive.convert',
    summary: 'Change a detached drive between raw and qcow2. Cancelled or cut short, it is as it was',
    right: 'backend',
    changes: true,
    params: z.strictObject({ driveId: driveIdSchema, format: driveFormatSchema }),
    result: driveFileSchema,
    progress: true,
  }),
};
