/** qemu-img: making and measuring disk files. https://www.qemu.org/docs/master/tools/qemu-img.html */
import * as z from 'zod';
import { run } from '../../shared/run.ts';
import { parseJson } from '../../shared/validate.ts';

const TIMEOUT_MS = 60_000;

const infoSchema = z.object({
  'virtual-size': z.number().int().nonnegative(),
  format: z.string(),
  'full-backing-filename': z.string().optional(),
});

export interface ImageInfo {
  /** What the guest sees, in bytes. */
  sizeBytes: number;
  format: string;
  backingFile: string | undefined;
}

/** Of `qemu-img info --output=json`. @throws VmcError 'bad-data'. */
export function parseImageInfo(json: string): ImageInfo {
  const info = parseJson(infoSchema, json, "qemu-img's answer");
  return { sizeBytes: info['virtual-size'], format: info.format, backingFile: info['full-backing-filename'] };
}

/** @param format is told, never guessed: in a raw file, which format it looks like is for the guest to write. */
export async function imageInfo(path: string, format: 'qcow2' | 'raw'): Promise<ImageInfo> {
  // -U: a running machine holds the file's lock, and reading its size does no harm.
  const { stdout } = await run({
    file: 'qemu-img',
    args: ['info', '--output=json', '-U', '-f', format, path],
    timeoutMs: TIMEOUT_MS,
  });
  return parseImageInfo(stdout);
}

/**
 * qcow2: clusters of 64 KiB are what discard frees at a time; no preallocation, so that the file holds what was written
 * and no more; reference counts on disk at once, so that a crash of the host needs no repair. raw: a sparse file.
 */
export function createArgs(path: string, format: 'qcow2' | 'raw', sizeBytes: number): string[] {
  const options =
    format === 'qcow2'
      ? ['-o', 'preallocation=off,lazy_refcounts=off,cluster_size=65536']
      : ['-o', 'preallocation=off'];
  return ['create', '-q', '-f', format, ...options, path, String(sizeBytes)];
}

export async function createImage(path: string, format: 'qcow2' | 'raw', sizeBytes: number): Promise<void> {
  await run({ file: 'qemu-img', args: createArgs(path, format, sizeBytes), timeoutMs: TIMEOUT_MS });
}

/** A qcow2 file that holds only what differs from `base`, itself qcow2. */
export async function createOverlay(path: string, base: string): Promise<void> {
  await run({
    file: 'qemu-img',
    args: ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', base, path],
    timeoutMs: TIMEOUT_MS,
  });
}
