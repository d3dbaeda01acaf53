/** What should be against what is. What is safe is repaired; what could lose something is only reported. */
import { rm } from 'node:fs/promises';
import { VmcError } from '../shared/errors.ts';
import { vmIdSchema } from '../shared/names.ts';
import { type Domain, inspectAllDomains } from './domains/inventory.ts';
import { drivePath } from './drives/drives.ts';
import { allocatedBytes, temporaryFiles } from './drives/pool.ts';
import { checkFirewall, enforceFirewall } from './firewall/wanted.ts';
import { type Host, overlayPath } from './host.ts';
import { backendEndpoint } from './network/backend-endpoint.ts';
import { ensureNetwork, observeNetwork } from './network/network.ts';
import { enforceReservations } from './vms/parts.ts';

export interface Finding {
  /** repaired: was put right (with a dry run: would be) · reported: a person decides. */
  outcome: 'repaired' | 'reported';
  what: string;
  hint?: string;
}

/** The firewall needs no libvirt and is put right first. @throws VmcError 'libvirt-down' after that. */
export async function reconcile(host: Host, dryRun: boolean): Promise<Finding[]> {
  const findings: Finding[] = [];
  const repaired = (what: string) => findings.push({ outcome: 'repaired', what });
  for (const drift of dryRun ? await checkFirewall(host) : await enforceFirewall(host)) repaired(`firewall: ${drift}`);
  const domains = await inspectAllDomains(host.virsh);
  if (dryRun) {
    if ((await observeNetwork(host.virsh, host.config.network.name)) === undefined)
      repaired(`the network ${host.config.network.name} is missing`);
  } else {
    await ensureNetwork(host.config, host.virsh, await backendEndpoint(host.config), repaired);
    await enforceReservations(host, undefined, repaired);
  }
  for (const { path, object } of await temporaryFiles(host.config.pools.drives))
    if (!(await host.locks.isHeld(object))) {
      if (!dryRun) await rm(path, { force: true });
      repaired(`unfinished file ${path}`);
    }
  findings.push(...(await unfinished(host, domains)));
  return findings;
}

async function unfinished(host: Host, domains: readonly Domain[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  const report = (what: string, hint: string) => findings.push({ outcome: 'reported', what, hint });
  const names = new Set(domains.map((it) => it.name));
  const records = await host.vms.list();
  for (const { spec } of records) {
    if (await host.locks.isHeld(spec.vmId)) continue;
    if (!names.has(spec.vmId))
      report(`${spec.vmId} is recorded, but libvirt has no such domain`, `host-agent vm delete ${spec.vmId}`);
    else if ((await allocatedBytes(overlayPath(host, spec.vmId))) === undefined)
      report(
        `the root disk of ${spec.vmId} is missing: ${overlayPath(host, spec.vmId)}`,
        'Is its file system mounted?',
      );
  }
  const recorded = new Set(records.map((it) => it.spec.vmId));
  for (const { name } of domains)
    if (vmIdSchema.safeParse(name).success && !recorded.has(name))
      report(`libvirt has a domain ${name} that this agent has not made`, `virsh undefine ${name}`);
  for (const drive of await host.drives.list())
    if (!(await host.locks.isHeld(drive.driveId)) && (await allocatedBytes(drivePath(host, drive))) === undefined)
      report(`the file of drive ${drive.driveId} is missing: ${drivePath(host, drive)}`, 'Is its file system mounted?');
  return findings;
}

/** A host whose libvirt is down still has its firewall enforced. */
export function isLibvirtDown(error: unknown): boolean {
  return error instanceof VmcError && error.code === 'libvirt-down';
}
