/** Drives in and out of VMs, live where they run. Read-write is for one VM; read-only may be many; never both. */
import type { VmStatus } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import { type DiskPlan, diskXml, MAX_SCSI_TARGET } from '../domains/domain-xml.ts';
import { type Disk, type Domain, holdersOf, inspectAllDomains } from '../domains/inventory.ts';
import { drivePath, requireDrive } from '../drives/drives.ts';
import { allocatedBytes } from '../drives/pool.ts';
import type { Host } from '../host.ts';
import { nextEvent, waitFor } from '../libvirt/events.ts';
import { requireDomain, vmStatus } from './status.ts';

const DETACH_DEADLINE_MS = 45_000;
const DETACH_REPEAT_MS = 8000;

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
    const isIt = (disk: Disk) => disk.serial === driveId;
    const scsiTarget = [...domain.live, ...domain.config].find(isIt)?.scsiTarget ?? freeTarget(domain);
    const missing = [
      ...(domain.state !== 'off' && !domain.live.some(isIt) ? ['--live'] : []),
      ...(domain.config.some(isIt) ? [] : ['--config']),
    ];
    if (missing.length > 0) {
      const { cache } = host.config.pools;
      const plan: DiskPlan = { file, format: record.format, cache, serial: driveId, scsiTarget, readOnly };
      await host.virsh.runWithXml(diskXml(plan), (path) => ['attach-device', vmId, path, ...missing]);
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

function freeTarget(domain: Domain): number {
  const taken = new Set([...domain.live, ...domain.config].map((disk) => disk.scsiTarget));
  for (let target = 1; target <= MAX_SCSI_TARGET; target++) if (!taken.has(target)) return target;
  throw new VmcError('limit', `${domain.name} has ${MAX_SCSI_TARGET} drives attached, the most there can be.`);
}

/**
 * Live first: only when the guest has let go is the drive taken out of the VM's next start too. A repeat goes on where
 * one was cut short; succeeds when it is not attached to that VM.
 * @throws VmcError 'busy' when the guest did not let go in time.
 */
export function detachDrive(host: Host, driveId: string, vmId: string): Promise<VmStatus> {
  return host.locks.hold([driveId, vmId], async () => {
    const record = await requireDrive(host, driveId);
    const domain = await requireDomain(host, vmId);
    const isIt = (disk: Disk) => disk.serial === driveId;
    const disk = [...domain.live, ...domain.config].find(isIt);
    if (disk === undefined) return vmStatus(host, vmId);
    const { cache } = host.config.pools;
    const xml = diskXml({
      file: drivePath(host, record),
      format: record.format,
      cache,
      serial: driveId,
      scsiTarget: disk.scsiTarget ?? 0,
      readOnly: disk.readOnly,
    });
    if (domain.live.some(isIt)) await detachLive(host, driveId, vmId, xml);
    await host.step('drive.detach:config');
    if (domain.config.some(isIt)) await host.virsh.runWithXml(xml, (path) => ['detach-device', vmId, path, '--config']);
    return vmStatus(host, vmId);
  });
}

async function detachLive(host: Host, driveId: string, vmId: string, xml: string): Promise<void> {
  const gone = async () => !(await requireDomain(host, vmId)).live.some((disk) => disk.serial === driveId);
  const detached = await waitFor({
    done: gone,
    // The event is the proof; a request may fail because an earlier one is still under way.
    request: async () => {
      try {
        await host.virsh.runWithXml(xml, (path) => ['detach-device', vmId, path, '--live']);
      } catch (error) {
        if (error instanceof VmcError && error.code === 'libvirt-down') throw error;
        if (!(await gone()) && !/in the process of unplug|already/.test(String(error))) throw error;
      }
    },
    listen: (seconds) => nextEvent(host.virsh, 'device-removed', vmId, seconds),
    now: () => performance.now(),
    deadlineMs: DETACH_DEADLINE_MS,
    repeatMs: DETACH_REPEAT_MS,
  });
  if (!detached)
    throw new VmcError(
      'busy',
      `${vmId} does not let go of drive ${driveId}. It is still attached.`,
      'Close it in the VM first (`vmc drive close`), or shut the VM down.',
    );
}
