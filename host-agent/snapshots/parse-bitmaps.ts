/** The bitmaps of a qcow2 file, as `qemu-img info --output=json` tells them. Pure. */
import * as z from 'zod';
import { snapshotIdSchema } from '../../shared/names.ts';
import { parseJson } from '../../shared/validate.ts';

const infoSchema = z.object({
  'format-specific': z
    .object({
      data: z.object({
        bitmaps: z.array(z.object({ name: z.string(), flags: z.array(z.string()) })).default([]),
      }),
    })
    .optional(),
});

export interface Bitmap {
  /** Of the snapshot since which it notes what is written. */
  snapshotId: string;
  /**
   * Whether it has noted all of it: every QEMU that opens the file for writing switches it on (auto), and whichever did not
   * close the file in order leaves it marked (in-use). Says nothing while the file is open for writing.
   */
  sound: boolean;
}

/** Only those that snapshots made. @throws VmcError 'bad-data'. */
export function parseBitmaps(json: string): Bitmap[] {
  const info = parseJson(infoSchema, json, "qemu-img's answer");
  return (info['format-specific']?.data.bitmaps ?? [])
    .filter(({ name }) => snapshotIdSchema.safeParse(name).success)
    .map(({ name, flags }) => ({ snapshotId: name, sound: flags.includes('auto') && !flags.includes('in-use') }));
}
