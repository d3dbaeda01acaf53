/** From the records and the configuration to the plan, and the one place where it is applied. */

import type { Host } from '../host.ts';
import { backendEndpoint, backendHostPort } from '../network/backend-endpoint.ts';
import { gatewayOf, subnetOf } from '../network/subnet.ts';
import { applyFirewall, firewallDrift } from './firewall.ts';
import { type FirewallPlan, planFirewall } from './plan.ts';

/** Room for the allow list: its entries will join `allowed` here. */
export async function wantedFirewall(host: Host): Promise<FirewallPlan> {
  const { network, address, forwardPorts } = host.config;
  const [backend, vms] = await Promise.all([backendEndpoint(host.config), host.vms.list()]);
  return planFirewall({
    bridge: network.bridge,
    gateway: gatewayOf(subnetOf(network.subnet)),
    subnet: network.subnet,
    address,
    ports: forwardPorts,
    vms,
    allowed: [
      ...backend.addresses.map((it) => ({ address: it, protocol: 'tcp' as const, port: backend.port })),
      ...host.config.backend.relays.map((url) => {
        const { host: relay, port } = backendHostPort(url);
        return { address: relay, protocol: 'tcp' as const, port };
      }),
    ],
  });
}

/** One at a time, and from the records as they are then: the last one to apply knows of all VMs. @returns what it corrected. */
export function enforceFirewall(host: Host): Promise<string[]> {
  return host.locks.hold(['firewall'], async () => applyFirewall(await wantedFirewall(host)));
}

export async function checkFirewall(host: Host): Promise<string[]> {
  return firewallDrift(await wantedFirewall(host));
}
