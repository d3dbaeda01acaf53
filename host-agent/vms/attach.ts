/** Drives in and out of VMs, live where they run. Read-write is for one VM; read-only may be many; never both. */
import { setTimeout as delay } from 'node:timers/promises';
import type { VmStatus } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import { CommandError } from '../../shared/run.ts';
import { holdersOf, inspectAllDomains } from '../domains/inventory.ts';
import { adoptLocked, type Told } from '../drives/adopt.ts';
import { requireAlone } from '../drives/alone.ts';
import { drivePath, requireDrive, requireDriveFile } from '../drives/drives.ts';
import { inUse } from '../drives/file-holders.ts';
import { imageTrouble } from '../drives/parse-qemu-img.ts';
import { requireSettled } from '../drives/settle.ts';
import type { Host } from '../host.ts';
import { findDisk, plugDisk, unplugDisk } from './disks.ts';
import { requireDomain, vmStatus } from './status.ts';

/**
 * Succeeds when it is attached so already. Live, QEMU's own lock decides between hosts; of a VM that is off it does so at
 * its start.
 * @param told of a drive that another host may have made: it is then taken over.
 * @throws VmcError 'not-found', 'busy' (names the holder), 'wrong-state', 'limit'.
 */
export function attachDrive(
  host: Host,
  driveId: string,
  vmId: string,
  readOnly: boolean,
  told?: Told,
): Promise<VmStatus> {
  return host.locks.hold([driveId, vmId], async () => {
    const record = told === undefined ? await requireSettled(host, driveId) : await adoptLocked(host, driveId, told);
    await requireDriveFile(host, record);
    const file = drivePath(host, record);
    await requireAlone(file, record.format);
    const domain = await requireDomain(host, vmId);
    checkHolders(holdersOf(await inspectAllDomains(host.virsh), driveId, file), driveId, vmId, readOnly);
    const { format, allocation } = record;
    const { cache } = host.config.pools;
    await host.step('drive.attach:device');
    try {
      await plugDisk(host, domain, { file, format, cache, allocation, serial: driveId, readOnly });
    } catch (error) {
      if (error instanceof CommandError && imageTrouble(error.stderr) === 'locked') throw await inUse(file, error);
      throw error;
    }
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
  return host.locks.hold([driveId, vmId], () => throughRestart(() => detachLocked(host, driveId, vmId)));
}

const RESTART_MS = 30_000;
const RETRY_MS = 1000;

/** libvirtd is restarted with every upgrade, and the machines run on: `work`, which may be repeated, then is. */
async function throughRestart<T>(work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + RESTART_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const down = error instanceof VmcError && error.code === 'libvirt-down';
      if (!down || performance.now() > deadline) throw error;
      await delay(RETRY_MS);
    }
  }
}

async function detachLocked(host: Host, driveId: string, vmId: string): Promise<VmStatus> {
  const record = await requireDrive(host, driveId);
  const domain = await requireDomain(host, vmId);
  const disk = findDisk(domain, driveId);
  if (disk === undefined) return vmStatus(host, vmId);
  const { readOnly } = disk;
  const { format, allocation } = record;
  const { cache } = host.config.pools;
  await unplugDisk(host, domain, {
    plan: { file: drivePath(host, record), format, cache, allocation, serial: driveId, readOnly },
    step: 'drive.detach:config',
    what: `drive ${driveId}`,
    hint: 'Close it in the VM first (`vmc drive close`), or shut the VM down.',
  });
  return vmStatus(host, vmId);
}
