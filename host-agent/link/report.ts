/** What the backend is told about this host. */
import { cpus, loadavg } from 'node:os';
import type { HostReport } from '../../shared/agent-api/index.ts';
import { errorMessage } from '../../shared/errors.ts';
import { listPools } from '../drives/pool-marker.ts';
import type { Host } from '../host.ts';
import { isLibvirtDown } from '../reconcile.ts';
import { AGENT_VERSION } from '../version.ts';
import { listVms } from '../vms/status.ts';

/** Never fails because libvirt is down: that is what it then says. */
export async function hostReport(host: Host): Promise<HostReport> {
  const [libvirt, utilisation] = await Promise.all([libvirtState(host), measure(host)]);
  return { version: AGENT_VERSION, libvirt: libvirt.state, utilisation, vms: libvirt.vms };
}

async function libvirtState(host: Host): Promise<{ state: HostReport['libvirt']; vms: HostReport['vms'] }> {
  try {
    const [vms, version] = await Promise.all([listVms(host), libvirtVersion(host)]);
    return { state: { ok: true, ...(version === undefined ? {} : { version }) }, vms };
  } catch (error) {
    if (!isLibvirtDown(error)) throw error;
    return { state: { ok: false, problem: errorMessage(error) }, vms: [] };
  }
}

/** Of `virsh version`: 'Using library: libvirt 9.0.0'. */
export async function libvirtVersion(host: Host): Promise<string | undefined> {
  return /Using library: libvirt (\S+)/.exec(await host.virsh.run(['version']))?.[1];
}

async function measure(host: Host): Promise<HostReport['utilisation']> {
  // Loaded late: it is large. It tells memory that is available (caches count as free) the same way everywhere.
  const { mem } = await import('systeminformation');
  const [memory, pools] = await Promise.all([mem(), listPools(host)]);
  return {
    cores: cpus().length,
    load1: loadavg()[0] ?? 0,
    memoryBytes: memory.total,
    memoryFreeBytes: memory.available,
    pools: pools.map(({ name, id, sizeBytes, freeBytes, problem }) => ({
      name,
      ...(id === undefined ? {} : { id }),
      sizeBytes,
      freeBytes,
      ...(problem === undefined ? {} : { problem: problem.message }),
    })),
  };
}
