/** Giving unused blocks of a mounted file system back to the host: fstrim(8). */
import { statfs } from 'node:fs/promises';
import type { FileSystem } from '../../shared/api/drive.ts';
import { VmcError } from '../../shared/errors.ts';
import type { CallContext } from '../../shared/rpc/method.ts';
import { run } from '../../shared/run.ts';
import { before } from './fault-points.ts';
import { parseGroupBytes, parseTrimmedBytes } from './parse-tools.ts';
import { planTrim } from './plan-trim.ts';

/** @returns the bytes that fstrim reports. @throws VmcError 'cancelled': what was given back until then stays so. */
export async function trim(
  { mountPoint, fileSystem }: { mountPoint: string; fileSystem: FileSystem },
  { progress, signal }: Pick<CallContext, 'progress' | 'signal'>,
): Promise<number> {
  const { blocks, bsize } = await statfs(mountPoint);
  const total = blocks * bsize;
  const tell = (done: number) => progress({ step: 'giving unused blocks back', done, total, unit: 'bytes' });
  await before('drive.trim:sync');
  // ext4 frees the blocks of a deleted file only when its journal commits: without this, fstrim leaves them out.
  await run({ file: 'sync', args: ['--file-system', mountPoint], timeoutMs: 10 * 60_000, signal });
  const groupBytes = fileSystem === 'xfs' ? await readGroupBytes(mountPoint) : undefined;
  let trimmedBytes = 0;
  for (const { offset, length } of planTrim(fileSystem, total, groupBytes)) {
    tell(offset);
    await before('drive.trim:range');
    signal.throwIfAborted();
    if (fileSystem === 'ext4') await forgetTrimmed(mountPoint, signal);
    const range = ['--offset', `${offset}`, ...(length === undefined ? [] : ['--length', `${length}`])];
    const args = ['--verbose', ...range, mountPoint];
    const { stdout } = await run({ file: 'fstrim', args, timeoutMs: 60 * 60_000, signal });
    const bytes = parseTrimmedBytes(stdout);
    if (bytes === undefined) throw new VmcError('command-failed', 'fstrim did not say how much it trimmed.');
    trimmedBytes += bytes;
  }
  tell(total);
  return trimmedBytes;
}

/** Half a block group: less is free in what is asked about. */
const LARGE_BYTES = 64 * 1024 ** 2;
/** More than one block, which ext4 does nothing about. */
const LITTLE_BYTES = 1024 ** 2;

/**
 * ext4 leaves out the block groups that it has trimmed since it was mounted, unless smaller pieces are asked for than the last
 * time (fs/ext4/mballoc.c, s_last_trim_minblks). After a re-encryption that would be all of them, with nothing given back: so
 * the last time, which is also that of the range before, is made one that asked for large pieces only, where none is.
 */
async function forgetTrimmed(mountPoint: string, signal: AbortSignal): Promise<void> {
  const args = ['--offset', '0', '--length', String(LITTLE_BYTES), '--minimum', String(LARGE_BYTES), mountPoint];
  await run({ file: 'fstrim', args, timeoutMs: 60_000, signal });
}

async function readGroupBytes(mountPoint: string): Promise<number> {
  const { stdout } = await run({ file: 'xfs_io', args: ['-r', '-c', 'statfs', mountPoint], timeoutMs: 30_000 });
  const bytes = parseGroupBytes(stdout);
  if (bytes === undefined) throw new VmcError('command-failed', 'xfs_io did not say how large a group is.');
  return bytes;
}
