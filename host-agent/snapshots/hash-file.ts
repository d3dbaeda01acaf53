/** SHA-256 of a file, with progress. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { VmcError } from '../../shared/errors.ts';

const CHUNK_BYTES = 1024 * 1024;

/** @returns lower-case hex and how many bytes there were. @throws VmcError 'cancelled'. */
export async function hashFile(
  path: string,
  progress: (doneBytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    if (signal?.aborted === true) throw new VmcError('cancelled', 'Reading the snapshot was cancelled.');
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    progress(bytes);
  }
  return { sha256: hash.digest('hex'), bytes };
}
