/** What a VM is doing, for the backend and for people. */
import type { VmStatus } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import { driveIdSchema, isoIdSchema, vmIdSchema } from '../../shared/names.ts';
import { type Domain, inspectAllDomains, inspectDomain } from '../domains/inventory.ts';
import type { Host } from '../host.ts';
import type { VmRecord } from '../state/records.ts';

/** @throws VmcError 'libvirt-down'. A VM nobody knows is 'absent', not an error. */
export async function vmStatus(host: Host, vmId: string): Promise<VmStatus> {
  const [record, domain] = await Promise.all([host.vms.get(vmId), inspectDomain(host.virsh, vmId)]);
  return statusOf(vmId, record, domain);
}

/** Every VM that has a record or a domain here. */
export async function listVms(host: Host): Promise<VmStatus[]> {
  const [records, domains] = await Promise.all([host.vms.list(), inspectAllDomains(host.virsh)]);
  const byId = new Map(records.map((record) => [record.spec.vmId, record]));
  const byName = new Map(domains.map((domain) => [domain.name, domain]));
  const ours = domains.map((domain) => domain.name).filter((name) => vmIdSchema.safeParse(name).success);
  return [...new Set([...byId.keys(), ...ours])].sort().map((vmId) => statusOf(vmId, byId.get(vmId), byName.get(vmId)));
}

export function statusOf(vmId: string, record: VmRecord | undefined, domain: Domain | undefined): VmStatus {
  const attached = new Map<string, boolean>();
  const isos = new Set<string>();
  for (const disk of domain === undefined ? [] : [...domain.live, ...domain.config]) {
    const id = driveIdSchema.safeParse(disk.serial);
    if (id.success) attached.set(id.data, disk.readOnly);
    else if (isoIdSchema.safeParse(disk.serial).success) isos.add(disk.serial as string);
  }
  return {
    vmId,
    state: domain?.state ?? 'absent',
    ...(domain?.pausedBecause === undefined ? {} : { pausedBecause: domain.pausedBecause }),
    ...(record === undefined ? {} : { address: record.address, hostPort: record.hostPort }),
    attached: [...attached].map(([driveId, readOnly]) => ({ driveId, readOnly })),
    ...(isos.size === 0 ? {} : { isos: [...isos] }),
  };
}

/** @throws VmcError 'not-found' when libvirt has no such VM. */
export async function requireDomain(host: Host, vmId: string): Promise<Domain> {
  const domain = await inspectDomain(host.virsh, vmId);
  if (domain === undefined)
    throw new VmcError('not-found', `This host has no VM ${vmId}.`, '`host-agent vm list` shows those it has.');
  return domain;
}
