/** Drives in and out of VMs, live where they run. Read-write is for one VM; read-only may be many; never both. */
import type { VmStatus } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import { holdersOf, inspectAllDomains } from '../domains/inventory.ts';
import { drivePath, requireDrive } from '../drives/drives.ts';
import { allocatedBytes } from '../drives/pool.ts';
import type { Host } from '../host.ts';
import { findDisk, plugDisk, unplugDisk } from './disks.ts';
import { requireDomain, vmStatus } from './status.ts';

/** Succeeds when it is attached so already. @throws VmcError 'not-found', 'busy' (names the holder), 'wrong-state', 'limit'. */
export function attachDrive(host: Host, driveId: string, vmId: string, readOnly: boolean): Promise<VmStatus> {
  return host.locks.hold([driveId, vmId], async () => {
    const record = await requireDrive(host, driveId);
    const file = drivePath(host, record);
    if ((await allocatedBytes(file)) === undefined)
      throw new VmcError(
        'not-found',
        `The file of drive ${driveId} is missing: ${file}.`,
        'Is its file system mounted?',
      );
    const domain = await requireDomain(host, vmId);
    checkHolders(holdersOf(await inspectAllDomains(host.virsh), driveId, file), driveId, vmId, readOnly);
    const { cache } = host.config.pools;
    await plugDisk(host, domain, { file, format: record.format, cache, serial: driveId, readOnly });
    return vmStatus(host, vmId);
  });
}

/** @throws VmcError 'busy', 'wrong-state'. */
export function checkHolders(
  holders: readonly { domain: string; readOnly: boolean }[],
  driveId: string,
  vmId: string,
  readOnly: boolean,
): void {
  for (const holder of holders) {
    if (holder.domain === vmId) {
      if (holder.readOnly !== readOnly)
        throw new VmcError(
          'wrong-state',
          `Drive ${driveId} is attached to ${vmId} ${mode(holder.readOnly)} already.`,
          'Detach it first to change that.',
        );
    } else if (!holder.readOnly || !readOnly)
      throw new VmcError(
        'busy',
        `Drive ${driveId} is attached to ${holder.domain} ${mode(holder.readOnly)}.`,
        `Detach it there first: host-agent drive detach ${driveId} ${holder.domain}`,
      );
  }
}

const mode = (readOnly: boolean) => (readOnly ? 'read-only' : 'read-write');

/**
 * A repeat goes on where one was cut short; succeeds when it is not attached to that VM.
 * @throws VmcError 'busy' when the guest did not let go in time.
 */
export function detachDrive(host: Host, driveId: string, vmId: string): Promise<VmStatus> {
  return host.locks.hold([driveId, vmId], async () => {
    const record = await requireDrive(host, driveId);
    const domain = await requireDomain(host, vmId);
    const disk = findDisk(domain, driveId);
    if (disk === undefined) return vmStatus(host, vmId);
    const { readOnly } = disk;
    const { cache } = host.config.pools;
    await unplugDisk(host, domain, {
      plan: { file: drivePath(host, record), format: record.format, cache, serial: driveId, readOnly },
      step: 'drive.detach:config',
      what: `drive ${driveId}`,
      hint: 'Close it in the VM first (`vmc drive close`), or shut the VM down.',
    });
    return vmStatus(host, vmId);
  });
}
