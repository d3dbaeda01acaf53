/** What should be against what is. What is safe is repaired; what could lose something is only reported. */
import { rm } from 'node:fs/promises';
import { VmcError } from '../shared/errors.ts';
import { vmIdSchema } from '../shared/names.ts';
import { type Domain, inspectAllDomains } from './domains/inventory.ts';
import { allocatedBytes, temporaryFiles } from './drives/pool.ts';
import { listPools } from './drives/pool-marker.ts';
import { reconcileDrives } from './drives/reconcile-drives.ts';
import { checkFirewall, enforceFirewall } from './firewall/wanted.ts';
import { type Host, overlayPath } from './host.ts';
import { backendEndpoint } from './network/backend-endpoint.ts';
import { ensureNetwork, observeNetwork } from './network/network.ts';
import { reconcileSnapshots } from './snapshots/reconcile.ts';
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
  const pools = await listPools(host);
  for (const { problem } of pools)
    if (problem !== undefined) findings.push({ outcome: 'reported', what: problem.message, ...hinted(problem.hint) });
  findings.push(...(await unfinishedVms(host, domains)));
  // Of a pool that is not the one it was, nothing in it says anything.
  if (pools.some((it) => it.name === 'drives' && it.problem === undefined)) {
    findings.push(...(await diskFiles(host, dryRun)));
    findings.push(...(await reconcileDrives(host, domains, dryRun)));
    if (pools.some((it) => it.name === 'snapshots' && it.problem === undefined))
      findings.push(...(await reconcileSnapshots(host, dryRun)));
  }
  return findings;
}

const hinted = (hint: string | undefined) => (hint === undefined ? {} : { hint });

/** Root disks, whole and half made. A half made file of nobody here may be another host's, which shares the pool. */
async function diskFiles(host: Host, dryRun: boolean): Promise<Finding[]> {
  const findings: Finding[] = [];
  const ours = new Set(await host.vms.ids());
  for (const { path, object } of await temporaryFiles(host.config.pools.drives))
    if (ours.has(object) && !(await host.locks.isHeld(object))) {
      if (!dryRun) await rm(path, { force: true });
      findings.push({ outcome: 'repaired', what: `unfinished file ${path}` });
    }
  for (const vmId of ours)
    if (!(await host.locks.isHeld(vmId)) && (await allocatedBytes(overlayPath(host, vmId))) === undefined)
      findings.push({
        outcome: 'reported',
        what: `the root disk of ${vmId} is missing: ${overlayPath(host, vmId)}`,
        hint: `It is lost, or its making was cut short. host-agent vm delete ${vmId}`,
      });
  return findings;
}

async function unfinishedVms(host: Host, domains: readonly Domain[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  const report = (what: string, hint: string) => findings.push({ outcome: 'reported', what, hint });
  const names = new Set(domains.map((it) => it.name));
  const records = await host.vms.list();
  for (const { spec } of records) {
    if (await host.locks.isHeld(spec.vmId)) continue;
    if (!names.has(spec.vmId))
      report(`${spec.vmId} is recorded, but libvirt has no such domain`, `host-agent vm delete ${spec.vmId}`);
  }
  const recorded = new Set(records.map((it) => it.spec.vmId));
  for (const { name } of domains)
    if (vmIdSchema.safeParse(name).success && !recorded.has(name))
      report(`libvirt has a domain ${name} that this agent has not made`, `virsh undefine ${name}`);
  return findings;
}

/** A host whose libvirt is down still has its firewall enforced. */
export function isLibvirtDown(error: unknown): boolean {
  return error instanceof VmcError && error.code === 'libvirt-down';
}
