/** Drive files: made blank, measured, removed. What is inside is none of the host's business. */
import { join } from 'node:path';
import type * as z from 'zod';
import type { DriveFile, driveFormatSchema } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import { holdersOf, inspectAllDomains } from '../domains/inventory.ts';
import type { Host } from '../host.ts';
import type { DriveRecord } from '../state/records.ts';
import { allocatedBytes, makeFile, poolSpace, removeFile } from './pool.ts';
import { createImage, imageInfo } from './qemu-img.ts';
import { checkSpace } from './space.ts';

export interface DriveRequest {
  driveId: string;
  format: z.output<typeof driveFormatSchema>;
  sizeBytes: number;
}

export const drivePath = (host: Host, drive: Pick<DriveRecord, 'driveId' | 'format'>): string =>
  join(host.config.pools.drives, `${drive.driveId}.${drive.format}`);

/** @throws VmcError 'no-space' when the pool should not take `bytes` more. */
export async function checkPoolSpace(host: Host, bytes: number): Promise<void> {
  const { drives, reserveMiB, overcommit } = host.config.pools;
  const { freeBytes } = await poolSpace(drives);
  checkSpace(drives, bytes, freeBytes, { reserve: reserveMiB * 1024 * 1024, overcommit });
}

/**
 * Repeating it with the same size and format succeeds, also after a crash in the middle.
 * @throws VmcError 'no-space', 'already-exists' (of another size or format).
 */
export function createDrive(host: Host, request: DriveRequest): Promise<DriveFile> {
  const { driveId, format, sizeBytes } = request;
  return host.locks.hold([driveId], async () => {
    const existing = await host.drives.get(driveId);
    if (existing !== undefined && (existing.format !== format || existing.sizeBytes !== sizeBytes))
      throw new VmcError('already-exists', `Drive ${driveId} is there already, of another size or format.`);
    const record = existing ?? { driveId, format, sizeBytes, createdAt: host.now() };
    const path = drivePath(host, record);
    const there = (await allocatedBytes(path)) !== undefined;
    if (there && existing === undefined)
      throw new VmcError('already-exists', `${path} is there, but this agent has not made it.`, 'Move it away.');
    if (!there) {
      await checkPoolSpace(host, sizeBytes);
      // The record comes first: a file without one could be anyone's.
      await host.drives.put(driveId, record);
      try {
        await host.step('drive.create:file');
        await makeFile(path, (temporary) => createImage(temporary, format, sizeBytes));
      } catch (error) {
        if (existing === undefined) await host.drives.remove(driveId);
        throw error;
      }
    }
    return describe(host, record, undefined);
  });
}

/** @throws VmcError 'not-found', 'libvirt-down'. */
export async function driveInfo(host: Host, driveId: string): Promise<DriveFile> {
  const record = await requireDrive(host, driveId);
  const holders = holdersOf(await inspectAllDomains(host.virsh), driveId, drivePath(host, record));
  return describe(host, record, holders[0]?.domain);
}

/** @throws VmcError 'libvirt-down'. */
export async function listDrives(host: Host): Promise<DriveFile[]> {
  const [records, domains] = await Promise.all([host.drives.list(), inspectAllDomains(host.virsh)]);
  const drives: DriveFile[] = [];
  for (const record of records) {
    const holders = holdersOf(domains, record.driveId, drivePath(host, record));
    if ((await allocatedBytes(drivePath(host, record))) !== undefined)
      drives.push(await describe(host, record, holders[0]?.domain));
  }
  return drives;
}

/** @returns false when there was no such drive. @throws VmcError 'busy' while it is attached. */
export function deleteDrive(host: Host, driveId: string): Promise<boolean> {
  return host.locks.hold([driveId], async () => {
    const record = await host.drives.get(driveId);
    if (record === undefined) return false;
    const path = drivePath(host, record);
    const [holder] = holdersOf(await inspectAllDomains(host.virsh), driveId, path);
    if (holder !== undefined)
      throw new VmcError(
        'busy',
        `Drive ${driveId} is attached to ${holder.domain}.`,
        `Detach it first: host-agent drive detach ${driveId} ${holder.domain}`,
      );
    await removeFile(path);
    await host.step('drive.delete:record');
    await host.drives.remove(driveId);
    return true;
  });
}

/** @throws VmcError 'not-found' for a drive this agent has no record of. */
export async function requireDrive(host: Host, driveId: string): Promise<DriveRecord> {
  const record = await host.drives.get(driveId);
  if (record === undefined)
    throw new VmcError(
      'not-found',
      `This host has no drive ${driveId}.`,
      '`host-agent drive list` shows those it has.',
    );
  return record;
}

async function describe(host: Host, record: DriveRecord, attachedTo: string | undefined): Promise<DriveFile> {
  const { driveId, format } = record;
  const path = drivePath(host, record);
  const allocated = await allocatedBytes(path);
  if (allocated === undefined)
    throw new VmcError(
      'not-found',
      `The file of drive ${driveId} is missing: ${path}.`,
      'Is its file system mounted? A drive whose making was cut short is finished by making it again.',
    );
  const { sizeBytes } = await imageInfo(path, format);
  return {
    driveId,
    format,
    sizeBytes,
    allocatedBytes: allocated,
    ...(attachedTo === undefined || !attachedTo.startsWith('vm-') ? {} : { attachedTo }),
  };
}
