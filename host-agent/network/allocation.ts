/**
 * Which address and which host port a VM gets. Both follow from one *slot*: the search starts at a place that the VM's id
 * decides, so that an address that has just come free is not given away while dnsmasq still remembers its lease.
 */
import { createHash } from 'node:crypto';
import { VmcError } from '../../shared/errors.ts';
import { numberToIp, type Subnet } from './subnet.ts';

export interface Allocation {
  address: string;
  hostPort: number;
}

export interface Ports {
  from: number;
  to: number;
}

/** Network, gateway and broadcast are not for VMs. */
const RESERVED_LOW = 2;
const RESERVED_HIGH = 1;

export function slotCount(subnet: Subnet, ports: Ports): number {
  return Math.min(subnet.size - RESERVED_LOW - RESERVED_HIGH, ports.to - ports.from + 1);
}

/**
 * @param taken what other VMs of this host have; they may stem from an earlier configuration.
 * @throws VmcError 'limit' when every slot is taken.
 */
export function allocate(vmId: string, taken: readonly Allocation[], subnet: Subnet, ports: Ports): Allocation {
  const addresses = new Set(taken.map((it) => it.address));
  const hostPorts = new Set(taken.map((it) => it.hostPort));
  const slots = slotCount(subnet, ports);
  const start = createHash('sha256').update(vmId).digest().readUInt32BE(0) % slots;
  for (let i = 0; i < slots; i++) {
    const slot = (start + i) % slots;
    const candidate = {
      address: numberToIp(subnet.base + RESERVED_LOW + slot),
      hostPort: ports.from + slot,
    };
    if (!addresses.has(candidate.address) && !hostPorts.has(candidate.hostPort)) return candidate;
  }
  throw new VmcError(
    'limit',
    `All ${slots} addresses and ports of this host are taken.`,
    'Delete a VM, or widen network.subnet and forwardPorts in host-agent.toml.',
  );
}

/** 52 (locally administered, unicast) and the last ten digits of the id: vm-0123456789ab → 52:23:45:67:89:ab. */
export function macOf(vmId: string): string {
  const digits = vmId.slice('vm-'.length + 2);
  return ['52', ...(digits.match(/../g) ?? [])].join(':');
}
