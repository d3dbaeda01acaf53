/** A drive's file as it is, once nothing with it is under way any more. */
import type { DriveFile } from '../../shared/agent-api/index.ts';
import { holdersOf, inspectAllDomains } from '../domains/inventory.ts';
import type { Host } from '../host.ts';
import { describeDrive, drivePath, requireDrive } from './drives.ts';
import { requireSettled } from './settle.ts';

/**
 * Who follows the answer must not be told of a file that is about to change, or to go: what was cut short is ended first.
 * @throws VmcError 'not-found', 'libvirt-down', 'busy' while it is being changed.
 */
export async function driveInfo(host: Host, driveId: string): Promise<DriveFile> {
  const found = await requireDrive(host, driveId);
  const record =
    found.pending === undefined ? found : await host.locks.hold([driveId], () => requireSettled(host, driveId));
  const holders = holdersOf(await inspectAllDomains(host.virsh), driveId, drivePath(host, record));
  return describeDrive(host, record, holders);
}
