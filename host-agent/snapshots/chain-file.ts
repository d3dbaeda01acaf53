/** A snapshot and all that it builds on as one image, put together as it is opened: no file of them is touched. */
import { run } from '../../shared/run.ts';

const CHECK_MS = 10 * 60_000;

/** For qemu-img, in place of a file's name. @param files the full one first. Pure. */
export function chainName(files: readonly string[]): string {
  let node: unknown = null;
  for (const filename of files) node = { driver: 'qcow2', file: { driver: 'file', filename }, backing: node };
  return `json:${JSON.stringify(node)}`;
}

/** Is it whole as a qcow2 file? @throws CommandError with what is wrong. */
export async function checkImage(file: string, signal: AbortSignal | undefined): Promise<void> {
  await run({
    file: 'qemu-img',
    args: [
      'check',
      '-q',
      `json:${JSON.stringify({ driver: 'qcow2', file: { driver: 'file', filename: file }, backing: null })}`,
    ],
    timeoutMs: CHECK_MS,
    ...(signal === undefined ? {} : { signal }),
  });
}

/** libvirt writes the drive's own path into an incremental copy: whoever opened it would read the drive as it is then. */
export async function forgetBacking(file: string): Promise<void> {
  await run({ file: 'qemu-img', args: ['rebase', '-u', '-b', '', '-f', 'qcow2', file], timeoutMs: 60_000 });
}
