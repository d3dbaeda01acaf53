/** Removing a VM that is off: domain, reservation, overlay, forward, record. Its drives stay. */
import { rm } from 'node:fs/promises';
import { VmcError } from '../../shared/errors.ts';
import { inspectDomain } from '../domains/inventory.ts';
import { removeFile, temporaryFiles } from '../drives/pool.ts';
import { requirePool } from '../drives/pool-marker.ts';
import { enforceFirewall } from '../firewall/wanted.ts';
import { consoleLogPath, type Host, overlayPath } from '../host.ts';
import { observeNetwork } from '../network/network.ts';
import { dropDomain, enforceReservations } from './parts.ts';

/** The record goes last: until then a repeat finds what is left. @returns false when there was no such VM. */
export function deleteVm(host: Host, vmId: string): Promise<boolean> {
  return host.locks.hold([vmId], async () => {
    const record = await host.vms.get(vmId);
    const domain = await inspectDomain(host.virsh, vmId);
    if (record === undefined && domain === undefined) return false;
    if (record === undefined)
      throw new VmcError(
        'wrong-state',
        `libvirt has a domain ${vmId} that this agent has not made.`,
        `If it is to go: virsh undefine ${vmId}`,
      );
    if (domain !== undefined && domain.state !== 'off')
      throw new VmcError(
        'wrong-state',
        `${vmId} is ${domain.state}.`,
        `Shut it down first: host-agent vm shutdown ${vmId}`,
      );
    await requirePool(host, 'drives'); // where nothing is mounted, a root disk that is missing is not gone
    if (domain !== undefined) await dropDomain(host, vmId);
    await host.step('vm.delete:reservation');
    if ((await observeNetwork(host.virsh, host.config.network.name)) !== undefined)
      await enforceReservations(host, vmId);
    await host.step('vm.delete:overlay');
    await removeFile(overlayPath(host, vmId));
    for (const { path, object } of await temporaryFiles(host.config.pools.drives))
      if (object === vmId) await rm(path, { force: true });
    await rm(consoleLogPath(host, vmId), { force: true });
    await host.step('vm.delete:record');
    await host.vms.remove(vmId);
    await enforceFirewall(host);
    return true;
  });
}
