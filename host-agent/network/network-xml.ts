/** The host's own network of VMs, and the filter on each VM's port. https://libvirt.org/formatnetwork.html, formatnwfilter.html */
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { ANTI_SPOOFING_FILTER } from '../domains/domain-xml.ts';
import { buildXml, parseXml, type Xml } from '../libvirt/xml.ts';
import { gatewayOf, netmaskOf, type Subnet } from './subnet.ts';

export interface NetworkPlan {
  name: string;
  bridge: string;
  subnet: Subnet;
  /** The one name that VMs can resolve, and its addresses. */
  backendName: string;
  backendAddresses: readonly string[];
}

export interface Reservation {
  mac: string;
  address: string;
  name: string;
}

/** What dnsmasq answers. */
export interface DnsName {
  name: string;
  address: string;
}

export const dnsNameXml = (it: DnsName): string => `<host ip='${it.address}'><hostname>${it.name}</hostname></host>`;

export function networkXml(plan: NetworkPlan): string {
  return buildXml({
    network: {
      '@xmlns:dnsmasq': 'http://libvirt.org/schemas/network/dnsmasq/1.0',
      name: plan.name,
      // open: libvirt adds no firewall rules of its own; the agent's are the only ones.
      forward: { '@mode': 'open' },
      bridge: { '@name': plan.bridge, '@stp': 'off', '@delay': '0' },
      domain: { '@name': 'vmc', '@localOnly': 'yes' },
      dns: {
        host: plan.backendAddresses.map((ip) => ({ '@ip': ip, hostname: plan.backendName })),
      },
      // No <range>: dnsmasq serves reserved addresses only.
      ip: { '@address': gatewayOf(plan.subnet), '@netmask': netmaskOf(plan.subnet) },
      // No upstream: any other name does not resolve.
      'dnsmasq:options': { 'dnsmasq:option': { '@value': 'no-resolv' } },
    },
  });
}

export const reservationXml = (it: Reservation): string =>
  `<host mac='${it.mac}' name='${it.name}' ip='${it.address}'/>`;

const present = z.string().optional();
const networkSchema = z.object({
  network: z.object({
    bridge: z.object({ '@name': present }).optional(),
    ip: z
      .array(
        z.object({
          '@address': present,
          dhcp: z
            .object({ host: z.array(z.object({ '@mac': present, '@ip': present, '@name': present })).default([]) })
            .or(z.literal(''))
            .optional(),
        }),
      )
      .default([]),
    dns: z
      .object({ host: z.array(z.object({ '@ip': present, hostname: present })).default([]) })
      .or(z.literal(''))
      .optional(),
  }),
});

export interface ObservedNetwork {
  bridge: string | undefined;
  gateway: string | undefined;
  names: DnsName[];
  reservations: Reservation[];
}

export function parseNetwork(xml: string): ObservedNetwork {
  const parsed = networkSchema.safeParse(parseXml(xml));
  if (!parsed.success) throw new VmcError('bad-data', 'libvirt gave a network that this version cannot read.');
  const { bridge, ip, dns } = parsed.data.network;
  const dhcp = ip[0]?.dhcp;
  return {
    bridge: bridge?.['@name'],
    gateway: ip[0]?.['@address'],
    names: (typeof dns === 'object' ? dns.host : []).map((it) => ({
      name: it.hostname ?? '',
      address: it['@ip'] ?? '',
    })),
    reservations: (typeof dhcp === 'object' ? dhcp.host : []).map((host) => ({
      mac: (host['@mac'] ?? '').toLowerCase(),
      address: host['@ip'] ?? '',
      name: host['@name'] ?? '',
    })),
  };
}

/**
 * What a VM may put on the wire, whatever its own root does: frames from its own MAC, IPv4 from its own address (or
 * DHCP before it has one), ARP for itself. libvirt keeps it on the VM's port with ebtables. `out` is out of the guest.
 */
export function antiSpoofingXml(): string {
  const rule = (action: string, direction: string, priority: number, match: Xml): Xml => ({
    '@action': action,
    '@direction': direction,
    '@priority': priority,
    ...match,
  });
  return buildXml({
    filter: {
      '@name': ANTI_SPOOFING_FILTER,
      '@chain': 'root',
      uuid: '5f1c0e6a-6a3e-8d0b-9d1a-3c1f7e2b9a40',
      rule: [
        rule('drop', 'out', 100, { mac: { '@match': 'no', '@srcmacaddr': '$MAC' } }),
        rule('accept', 'out', 200, {
          ip: {
            '@srcipaddr': '0.0.0.0',
            '@protocol': 'udp',
            '@srcportstart': '68',
            '@dstportstart': '67',
          },
        }),
        rule('drop', 'out', 300, { ip: { '@match': 'no', '@srcipaddr': '$IP' } }),
        rule('drop', 'out', 400, { arp: { '@match': 'no', '@arpsrcmacaddr': '$MAC' } }),
        rule('drop', 'out', 500, { arp: { '@match': 'no', '@arpsrcipaddr': '$IP' } }),
        rule('accept', 'inout', 600, { mac: { '@protocolid': 'ipv4' } }),
        rule('accept', 'inout', 700, { mac: { '@protocolid': 'arp' } }),
        rule('drop', 'inout', 1000, {}), // all else, IPv6 included
      ],
    },
  });
}
