/** Drive files: what there is of them. What is inside is none of the host's business. */
import { join } from 'node:path';
import type { DriveFile } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import { type Holder, holdersOf, inspectAllDomains } from '../domains/inventory.ts';
import type { Host } from '../host.ts';
import type { DriveRecord } from '../state/records.ts';
import { allocatedBytes } from './pool.ts';
import { imageInfo } from './qemu-img.ts';

export const drivePath = (host: Host, drive: Pick<DriveRecord, 'driveId' | 'format'>): string =>
  join(host.config.pools.drives, `${drive.driveId}.${drive.format}`);

/** @throws VmcError 'libvirt-down'. */
export async function listDrives(host: Host): Promise<DriveFile[]> {
  const [records, domains] = await Promise.all([host.drives.list(), inspectAllDomains(host.virsh)]);
  const drives: DriveFile[] = [];
  for (const record of records) {
    const holders = holdersOf(domains, record.driveId, drivePath(host, record));
    if ((await allocatedBytes(drivePath(host, record))) !== undefined)
      drives.push(await describeDrive(host, record, holders));
  }
  return drives;
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

/** @throws VmcError 'busy' while a machine has it, running or at its next start. */
export async function requireDetached(host: Host, record: DriveRecord): Promise<void> {
  const { driveId } = record;
  const [holder] = holdersOf(await inspectAllDomains(host.virsh), driveId, drivePath(host, record));
  if (holder !== undefined)
    throw new VmcError(
      'busy',
      `Drive ${driveId} is attached to ${holder.domain}.`,
      `Detach it first: host-agent drive detach ${driveId} ${holder.domain}`,
    );
}

/** @throws VmcError 'not-found'. */
export async function requireDriveFile(host: Host, record: DriveRecord): Promise<number> {
  const path = drivePath(host, record);
  const allocated = await allocatedBytes(path);
  if (allocated === undefined)
    throw new VmcError(
      'not-found',
      `The file of drive ${record.driveId} is missing: ${path}.`,
      'Is its file system mounted? A drive whose making was cut short is finished by making it again.',
    );
  return allocated;
}

export async function describeDrive(host: Host, record: DriveRecord, holders: readonly Holder[]): Promise<DriveFile> {
  const { driveId, format, allocation } = record;
  const allocated = await requireDriveFile(host, record);
  const { sizeBytes } = await imageInfo(drivePath(host, record), format);
  const attachments = holders
    .filter((it) => it.domain.startsWith('vm-'))
    .map(({ domain, readOnly }) => ({ vmId: domain, readOnly }));
  const [first] = attachments;
  return {
    driveId,
    format,
    sizeBytes,
    allocatedBytes: allocated,
    allocation,
    attachments,
    ...(first === undefined ? {} : { attachedTo: first.vmId }),
  };
}
