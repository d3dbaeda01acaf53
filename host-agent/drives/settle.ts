/**
 * What was begun with a drive and cut short is finished or undone before anything else happens to it. Every change first
 * writes into the drive's record what it is about to do, so that this is decided from the record and the files alone.
 */
import { rm } from 'node:fs/promises';
import { VmcError } from '../../shared/errors.ts';
import type { Host } from '../host.ts';
import type { DriveRecord } from '../state/records.ts';
import { drivePath } from './drives.ts';
import { allocatedBytes, fingerprint, removeFile, temporaryFiles } from './pool.ts';
import { requirePool } from './pool-marker.ts';
import { growImage, imageInfo, requireUnused } from './qemu-img.ts';

/** The drive's record, with nothing pending. The caller holds the drive's lock. @throws VmcError 'not-found', 'wrong-state' (pool). */
export async function requireSettled(host: Host, driveId: string): Promise<DriveRecord> {
  const record = await settled(host, driveId);
  if (record !== undefined) return record;
  throw new VmcError('not-found', `This host has no drive ${driveId}.`, '`host-agent drive list` shows those it has.');
}

/** As `requireSettled`; undefined when there is no such drive, or none any more. */
export async function settled(host: Host, driveId: string): Promise<DriveRecord | undefined> {
  const record = await host.drives.get(driveId);
  return record?.pending === undefined ? record : settle(host, record);
}

/** The pool first: in a folder on which nothing is mounted every file is missing, and that means nothing. */
export async function settle(host: Host, record: DriveRecord): Promise<DriveRecord | undefined> {
  const { pending, ...rest } = record;
  if (pending === undefined) return record;
  await requirePool(host, 'drives');
  await removeTemporaries(host, record.driveId);
  const path = drivePath(host, record);
  switch (pending.what) {
    case 'create':
      return (await allocatedBytes(path)) === undefined ? drop(host, record) : keep(host, rest);
    case 'delete':
      await removeUnused(path);
      return drop(host, record);
    case 'resize': {
      const { sizeBytes } = await imageInfo(path, record.format);
      if (sizeBytes <= record.sizeBytes) return keep(host, rest);
      // It may have been cut short on its way: what it has grown by is zero, and so is the rest.
      if (sizeBytes < pending.sizeBytes) await growImage(path, record.format, pending.sizeBytes, 'sparse');
      return keep(host, { ...rest, sizeBytes: pending.sizeBytes });
    }
    case 'convert': {
      const other = record.format === 'raw' ? 'qcow2' : 'raw';
      // A record without the file it names would take the last copy with it.
      if ((await allocatedBytes(path)) === undefined)
        throw new VmcError('bad-data', `The file of drive ${record.driveId} is missing: ${path}.`, 'Restore it.');
      await removeUnused(drivePath(host, { driveId: record.driveId, format: other }), pending.old);
      return keep(host, rest);
    }
  }
}

/**
 * In a shared pool another host may have taken the file over since this was begun.
 * @param was its fingerprint then, if that counts. @throws VmcError 'busy', 'bad-data' when it was written to since.
 */
async function removeUnused(path: string, was?: string): Promise<void> {
  if ((await allocatedBytes(path)) === undefined) return;
  await requireUnused(path);
  if (was !== undefined && (await fingerprint(path)) !== was)
    throw new VmcError(
      'bad-data',
      `${path} was written to after it had been converted.`,
      'See which of the two files is newer, and move this one away.',
    );
  await removeFile(path);
}

async function keep(host: Host, record: DriveRecord): Promise<DriveRecord> {
  await host.drives.put(record.driveId, record);
  return record;
}

async function drop(host: Host, record: DriveRecord): Promise<undefined> {
  await host.drives.remove(record.driveId);
}

async function removeTemporaries(host: Host, driveId: string): Promise<void> {
  for (const { path, object } of await temporaryFiles(host.config.pools.drives))
    if (object === driveId) await rm(path, { force: true });
}
