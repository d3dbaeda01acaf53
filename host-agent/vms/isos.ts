/** ISO images in and out of VMs: read-only SCSI disks, as libvirt plugs no CD-ROM drive into a running machine. Many VMs may have one. */
import type { VmStatus } from '../../shared/agent-api/index.ts';
import type { DiskPlan } from '../domains/domain-xml.ts';
import type { Host } from '../host.ts';
import { requireIso } from '../isos/isos.ts';
import { findDisk, plugDisk, unplugDisk } from './disks.ts';
import { requireDomain, vmStatus } from './status.ts';

/** The page cache: VMs that read the same image share it, and the pool's file system need not know O_DIRECT. */
const planOf = (isoId: string, file: string): Omit<DiskPlan, 'scsiTarget'> => ({
  file,
  format: 'raw',
  cache: 'writeback',
  serial: isoId,
  readOnly: true,
  optional: true,
});

/** Succeeds when the VM has it already. @throws VmcError 'not-found', 'limit'. */
export function attachIso(host: Host, isoId: string, vmId: string): Promise<VmStatus> {
  return host.locks.hold([vmId], async () => {
    const file = await requireIso(host, isoId);
    await plugDisk(host, await requireDomain(host, vmId), planOf(isoId, file));
    return vmStatus(host, vmId);
  });
}

/**
 * Succeeds when the VM does not have it; needs no file in the pool. A repeat goes on where one was cut short.
 * @throws VmcError 'busy' when the guest did not let go in time.
 */
export function ejectIso(host: Host, isoId: string, vmId: string): Promise<VmStatus> {
  return host.locks.hold([vmId], async () => {
    const domain = await requireDomain(host, vmId);
    const disk = findDisk(domain, isoId);
    if (disk !== undefined)
      await unplugDisk(host, domain, {
        plan: planOf(isoId, disk.file),
        step: 'iso.eject:config',
        what: `ISO image ${isoId}`,
        hint: 'Unmount it in the VM first (`vmc iso unmount`), or shut the VM down.',
      });
    return vmStatus(host, vmId);
  });
}
