/**
 * A drive's header as cryptsetup sees it while it re-encrypts: what it reads comes from the VM's own memory, what it writes
 * goes there and to the drive (dm-mirror, whose first leg is read). So the host cannot swap the header amid the work, which
 * is what would make it give data away, and a power cut still finds all that was written on the drive.
 */
import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../../shared/files.ts';
import { run } from '../../shared/run.ts';
import { runOnDevices } from './device-mapper.ts';
import { RUN_FOLDER } from './drive-lock.ts';
import { writeHeader } from './header-copy.ts';
import { mappingNumber } from './mapping-node.ts';
import { mirrorName, mirrorPath } from './names.ts';
import { isOwed, METADATA_BYTES, type Metadata, parseMetadata } from './parse-luks-binary.ts';
import { HEADER_BYTES } from './parse-luks-header.ts';

const TIMEOUT_MS = 60_000;
const SECTORS = HEADER_BYTES / 512;
const REGION_SECTORS = 1024;

/** The header in memory. It is there from before the mirror is until after it was. */
export const mirroredHeader = (driveId: string): string => join(RUN_FOLDER, `${driveId}.header`);

export const hasMirror = (driveId: string): Promise<boolean> => isThere(mirroredHeader(driveId));

/** @param header a checked copy, which is on the drive already; it is taken away. @returns the device for cryptsetup's --header. */
export async function openMirror(driveId: string, device: string, header: string): Promise<string> {
  const file = mirroredHeader(driveId);
  await makeFolder(RUN_FOLDER, 0o700);
  await rename(header, file);
  const loop = (await run({ file: 'losetup', args: ['--find', '--show', file], timeoutMs: TIMEOUT_MS })).stdout.trim();
  // A leg that cannot be written holds the writer up: going on without it would leave the drive's header behind its data.
  const legs = `mirror core 2 ${REGION_SECTORS} nosync 2 ${loop} 0 ${device} 0 1 handle_errors`;
  const args = ['create', mirrorName(driveId), '--table', `0 ${SECTORS} ${legs}`];
  await runOnDevices({ file: 'dmsetup', args, timeoutMs: TIMEOUT_MS });
  return mirrorPath(driveId);
}

/** Takes down what is there of it, also after a crash; on the drive is then what was in memory, if that is still of it. */
export async function closeMirror(driveId: string, device: string): Promise<void> {
  const file = mirroredHeader(driveId);
  if ((await mappingNumber(mirrorName(driveId))) !== undefined)
    await runOnDevices({ file: 'dmsetup', args: ['remove', '--retry', mirrorName(driveId)], timeoutMs: TIMEOUT_MS });
  if (!(await isThere(file))) return;
  const asked = ['--noheadings', '--output', 'NAME', '--associated', file];
  const loops = (await run({ file: 'losetup', args: asked, timeoutMs: TIMEOUT_MS })).stdout;
  for (const loop of loops.split('\n').map((line) => line.trim()))
    if (loop !== '') await run({ file: 'losetup', args: ['--detach', loop], timeoutMs: TIMEOUT_MS });
  // What went to the drive past its own page cache is not in that.
  await run({ file: 'blockdev', args: ['--flushbufs', device], timeoutMs: TIMEOUT_MS });
  if (isOwed(await metadataIn(file), await metadataIn(device))) await writeHeader(driveId, device, file, []);
  await rm(file);
}

/** @returns undefined when none is whole. */
async function metadataIn(path: string): Promise<Metadata | undefined> {
  const file = await open(path, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(METADATA_BYTES), 0, METADATA_BYTES, 0);
    return parseMetadata(buffer);
  } finally {
    await file.close();
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
