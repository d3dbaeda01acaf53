/**
 * A copy of a drive's LUKS header in the VM's own memory (/run), made of what was checked and nothing else. The host could
 * swap the header on its disk between the check and the use, and two programs can read one text differently: cryptsetup
 * gets the metadata as it was understood here, written anew. A copy opens nothing without the key.
 */
import { type FileHandle, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { composeMetadata, METADATA_BYTES, parseMetadata } from './parse-luks-binary.ts';
import { type CheckedHeader, checkLuksHeader, HEADER_BYTES } from './parse-luks-header.ts';

const BLOCK_BYTES = 4096;

/** Lends the copy's path to `work`. @throws VmcError 'bad-data' for a header that vmc does not make, or none at all. */
export function withHeader<T>(
  driveId: string,
  device: string,
  work: (header: string, checked: CheckedHeader) => Promise<T>,
): Promise<T> {
  return inMemory(async (folder) => {
    const path = join(folder, 'header');
    const checked = await copyHeader(driveId, device, path);
    return work(path, checked);
  });
}

/** Lends a folder in the VM's memory that nobody but root can enter. */
export async function inMemory<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp('/run/vmc-header-');
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Makes the file `path`. @param source a drive, or a file that begins as one. @throws VmcError 'bad-data'. */
export async function copyHeader(driveId: string, source: string, path: string): Promise<CheckedHeader> {
  const from = await open(source, 'r');
  try {
    const copy = await open(path, 'wx', 0o600);
    try {
      return await copyChecked(driveId, from, copy);
    } finally {
      await copy.close();
    }
  } finally {
    await from.close();
  }
}

/** The header in a copy, or on a drive, as it is now. @throws VmcError 'bad-data'. */
export async function checkHeader(driveId: string, path: string): Promise<CheckedHeader> {
  const file = await open(path, 'r');
  try {
    return checkLuksHeader((await metadataOf(driveId, file)).json, driveId);
  } finally {
    await file.close();
  }
}

/**
 * Writes a copy to the drive, in the order in which a power cut leaves the old header or the new one: keys, then one copy of
 * the metadata, then the other. What is the same is not written again.
 * @param areas 'all' also overwrites what belongs to no key slot.
 * @throws VmcError 'bad-data' when the copy is not a header that vmc makes: nothing was written then.
 */
export async function writeHeader(
  driveId: string,
  device: string,
  copy: string,
  areas: readonly { offset: number; size: number }[] | 'all',
): Promise<void> {
  const checked = await checkHeader(driveId, copy);
  const bytes = await readFile(copy);
  const file = await open(device, 'r+');
  try {
    const rest = { offset: METADATA_BYTES, size: HEADER_BYTES - METADATA_BYTES };
    for (const area of areas === 'all' ? [rest] : [...areas, ...checked.areas]) await writeChanged(file, bytes, area);
    await file.sync();
    for (const offset of [0, METADATA_BYTES / 2]) {
      await writeChanged(file, bytes, { offset, size: METADATA_BYTES / 2 });
      await file.sync();
    }
  } finally {
    await file.close();
  }
}

async function writeChanged(file: FileHandle, bytes: Buffer, area: { offset: number; size: number }): Promise<void> {
  const before = await readAt(file, area.offset, area.size);
  for (let at = 0; at < area.size; at += BLOCK_BYTES) {
    const end = Math.min(at + BLOCK_BYTES, area.size);
    const block = bytes.subarray(area.offset + at, area.offset + end);
    if (!block.equals(before.subarray(at, end))) await file.write(block, 0, block.length, area.offset + at);
  }
}

async function copyChecked(driveId: string, source: FileHandle, copy: FileHandle): Promise<CheckedHeader> {
  const metadata = await metadataOf(driveId, source);
  const checked = checkLuksHeader(metadata.json, driveId);
  await copy.truncate(HEADER_BYTES);
  await copy.write(composeMetadata({ binary: metadata.binary, json: JSON.stringify(checked.json) }), 0, undefined, 0);
  for (const { offset, size } of checked.areas)
    await copy.write(await readAt(source, offset, size), 0, undefined, offset);
  return checked;
}

async function metadataOf(driveId: string, file: FileHandle) {
  const metadata = parseMetadata(await readAt(file, 0, METADATA_BYTES));
  if (metadata !== undefined) return metadata;
  throw new VmcError(
    'bad-data',
    `The LUKS header of the drive ${driveId} is damaged.`,
    `Restore it from its backup: connect drive header restore ${driveId}`,
  );
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  if (bytesRead !== length) throw new VmcError('bad-data', 'The drive is shorter than its header.');
  return buffer;
}
