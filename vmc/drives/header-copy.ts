/**
 * A copy of a drive's LUKS header in the VM's own memory (/run), made of what was checked and nothing else. The host could
 * swap the header on its disk between the check and the use, and two programs can read one text differently: cryptsetup
 * gets the metadata as it was understood here, written anew. A copy opens nothing without the key.
 */
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { composeMetadata, METADATA_BYTES, parseMetadata } from './parse-luks-binary.ts';
import { checkLuksHeader, HEADER_BYTES } from './parse-luks-header.ts';

/** Lends the copy's path to `work`. @throws VmcError 'bad-data' for a header that vmc does not make, or none at all. */
export async function withHeader<T>(driveId: string, device: string, work: (header: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp('/run/vmc-header-');
  try {
    const path = join(folder, 'header');
    const source = await open(device, 'r');
    try {
      const copy = await open(path, 'wx', 0o600);
      try {
        await copyHeader(driveId, source, copy);
      } finally {
        await copy.close();
      }
    } finally {
      await source.close();
    }
    return await work(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function copyHeader(driveId: string, source: FileHandle, copy: FileHandle): Promise<void> {
  const metadata = parseMetadata(await readAt(source, 0, METADATA_BYTES));
  if (metadata === undefined)
    throw new VmcError(
      'bad-data',
      `The LUKS header of the drive ${driveId} is damaged.`,
      `Restore it from its backup: connect drive header restore ${driveId}`,
    );
  const checked = checkLuksHeader(metadata.json, driveId);
  await copy.truncate(HEADER_BYTES);
  await copy.write(composeMetadata({ binary: metadata.binary, json: JSON.stringify(checked.json) }), 0, undefined, 0);
  for (const { offset, size } of checked.keyAreas)
    await copy.write(await readAt(source, offset, size), 0, undefined, offset);
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  if (bytesRead !== length) throw new VmcError('bad-data', 'The drive is shorter than its header.');
  return buffer;
}
