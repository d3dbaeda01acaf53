/** A disk in and out of a VM, live where it runs: what drives and ISO images share. The caller holds the VM's lock. */
import { VmcError } from '../../shared/errors.ts';
import { type DiskPlan, diskXml, MAX_SCSI_TARGET } from '../domains/domain-xml.ts';
import type { Disk, Domain } from '../domains/inventory.ts';
import type { FaultPoint } from '../fault-points.ts';
import type { Host } from '../host.ts';
import { nextEvent, waitFor } from '../libvirt/events.ts';
import { requireDomain } from './status.ts';

const DETACH_DEADLINE_MS = 45_000;
const DETACH_REPEAT_MS = 8000;

const hasSerial = (serial: string) => (disk: Disk) => disk.serial === serial;

export const findDisk = (domain: Domain, serial: string): Disk | undefined =>
  [...domain.live, ...domain.config].find(hasSerial(serial));

/** Where it is missing: in the running machine, and in what it will be at its next start. @throws VmcError 'limit'. */
export async function plugDisk(host: Host, domain: Domain, plan: Omit<DiskPlan, 'scsiTarget'>): Promise<void> {
  const isIt = hasSerial(plan.serial);
  const missing = [
    ...(domain.state !== 'off' && !domain.live.some(isIt) ? ['--live'] : []),
    ...(domain.config.some(isIt) ? [] : ['--config']),
  ];
  if (missing.length === 0) return;
  const scsiTarget = findDisk(domain, plan.serial)?.scsiTarget ?? freeTarget(domain);
  const xml = diskXml({ ...plan, scsiTarget });
  await host.virsh.runWithXml(xml, (path) => ['attach-device', domain.name, path, ...missing]);
}

function freeTarget(domain: Domain): number {
  const taken = new Set([...domain.live, ...domain.config].map((disk) => disk.scsiTarget));
  for (let target = 1; target <= MAX_SCSI_TARGET; target++) if (!taken.has(target)) return target;
  throw new VmcError('limit', `${domain.name} has ${MAX_SCSI_TARGET} disks, the most there can be.`);
}

export interface Unplugging {
  plan: Omit<DiskPlan, 'scsiTarget'>;
  /** Reached between the running machine and its next start. */
  step: FaultPoint;
  /** For the message: 'drive drv…'. */
  what: string;
  /** What to do when the guest does not let go. */
  hint: string;
}

/**
 * Live first: only when the guest has let go is the disk taken out of the VM's next start too. A repeat goes on where
 * one was cut short. @throws VmcError 'busy' when the guest did not let go in time.
 */
export async function unplugDisk(host: Host, domain: Domain, unplugging: Unplugging): Promise<void> {
  const { serial } = unplugging.plan;
  const isIt = hasSerial(serial);
  const xml = diskXml({ ...unplugging.plan, scsiTarget: findDisk(domain, serial)?.scsiTarget ?? 0 });
  if (domain.live.some(isIt)) await unplugLive(host, domain.name, xml, unplugging);
  await host.step(unplugging.step);
  if (domain.config.some(isIt))
    await host.virsh.runWithXml(xml, (path) => ['detach-device', domain.name, path, '--config']);
}

async function unplugLive(host: Host, vmId: string, xml: string, { plan, what, hint }: Unplugging): Promise<void> {
  const gone = async () => !(await requireDomain(host, vmId)).live.some(hasSerial(plan.serial));
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
  if (!detached) throw new VmcError('busy', `${vmId} does not let go of ${what}. It is still attached.`, hint);
}
