/** What qemu-img says. Pure. https://www.qemu.org/docs/master/tools/qemu-img.html */
import * as z from 'zod';
import type { DriveCheck } from '../../shared/agent-api/drive-files.ts';
import { parseJson } from '../../shared/validate.ts';

const infoSchema = z.object({
  'virtual-size': z.number().int().nonnegative(),
  format: z.string(),
  'backing-filename': z.string().optional(),
  'full-backing-filename': z.string().optional(),
  'format-specific': z.object({ data: z.object({ 'data-file': z.string().optional() }).optional() }).optional(),
});

export interface ImageInfo {
  /** What the guest sees, in bytes. */
  sizeBytes: number;
  format: string;
  backingFile: string | undefined;
  /** qcow2 may keep its data in another file. */
  dataFile: string | undefined;
}

/** Of `qemu-img info --output=json`. @throws VmcError 'bad-data'. */
export function parseImageInfo(json: string): ImageInfo {
  const info = parseJson(infoSchema, json, "qemu-img's answer");
  return {
    sizeBytes: info['virtual-size'],
    format: info.format,
    backingFile: info['full-backing-filename'] ?? info['backing-filename'],
    dataFile: info['format-specific']?.data?.['data-file'],
  };
}

const count = z.number().int().nonnegative().default(0);
const checkSchema = z.object({
  'check-errors': count,
  leaks: count,
  corruptions: count,
  'leaks-fixed': count,
});

/** Of `qemu-img check --output=json`. @throws VmcError 'bad-data'. */
export function parseImageCheck(json: string): DriveCheck {
  const check = parseJson(checkSchema, json, "qemu-img's answer");
  const corruptions = check.corruptions + check['check-errors'];
  return {
    state: corruptions > 0 ? 'damaged' : check.leaks > 0 ? 'leaks' : 'good',
    leakedClusters: check.leaks,
    corruptions,
    repaired: check['leaks-fixed'] > 0,
  };
}

/** The last percentage in what `qemu-img -p` printed: '    (12.34/100%)\r'. */
export function parsePercent(text: string): number | undefined {
  const found = [...text.matchAll(/\((\d{1,3}(?:\.\d+)?)\/100%\)/g)].at(-1)?.[1];
  return found === undefined ? undefined : Math.min(100, Number(found));
}

export type ImageTrouble = 'locked' | 'no-space';

/** Of what QEMU, qemu-img or libvirt said. */
export function imageTrouble(message: string): ImageTrouble | undefined {
  if (/Failed to get (shared )?"[a-z ]+" lock/.test(message)) return 'locked';
  return /No space left on device|Disk quota exceeded/.test(message) ? 'no-space' : undefined;
}
