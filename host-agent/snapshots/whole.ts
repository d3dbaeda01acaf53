/** All of a buffer: read(2) and write(2) may move less than they were asked to, as on a disk that is almost full, and say no error. */
import type { FileHandle } from 'node:fs/promises';
import { VmcError } from '../../shared/errors.ts';

/** @throws VmcError 'bad-data' when the file ends before. */
export async function readFully(file: FileHandle, buffer: Buffer, at: number): Promise<void> {
  for (let have = 0; have < buffer.length; ) {
    const { bytesRead } = await file.read(buffer, have, buffer.length - have, at + have);
    if (bytesRead === 0) throw new VmcError('bad-data', 'The file became shorter while it was sent.');
    have += bytesRead;
  }
}

/** @throws when it does not fit: ENOSPC, EFBIG, EDQUOT. */
export async function writeFully(file: FileHandle, buffer: Buffer, at: number): Promise<void> {
  for (let have = 0; have < buffer.length; )
    have += (await file.write(buffer, have, buffer.length - have, at + have)).bytesWritten;
}
