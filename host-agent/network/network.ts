/** The VM network in libvirt: made when missing, started, reservations kept equal to the records. */
import { readFile, writeFile } from 'node:fs/promises';
import { VmcError } from '../../shared/errors.ts';
import type { Config } from '../config.ts';
import type { Virsh } from '../libvirt/virsh.ts';
import type { BackendEndpoint } from './backend-endpoint.ts';
import {
  antiSpoofingXml,
  type DnsName,
  dnsNameXml,
  networkXml,
  type ObservedNetwork,
  parseNetwork,
  type Reservation,
  reservationXml,
} from './network-xml.ts';
import { gatewayOf, subnetOf } from './subnet.ts';

const IP_FORWARD = '/proc/sys/net/ipv4/ip_forward';

/** One correction, named for the log and for `reconcile`. */
export type Fixed = (what: string) => void;

/**
 * Makes the network exist and run, with the anti-spoofing filter and routing. Applying it twice changes nothing.
 * @throws VmcError 'bad-config' when a network of that name is there but is another one.
 */
export async function ensureNetwork(
  config: Config,
  virsh: Virsh,
  backend: BackendEndpoint,
  fixed: Fixed = () => {},
): Promise<void> {
  const { name, bridge } = config.network;
  const subnet = subnetOf(config.network.subnet);
  if (!(await hasFilter(virsh))) {
    await virsh.runWithXml(antiSpoofingXml(), (path) => ['nwfilter-define', path]);
    fixed('defined the anti-spoofing filter');
  }
  const observed = await observeNetwork(virsh, name);
  if (observed === undefined) {
    const xml = networkXml({
      name,
      bridge,
      subnet,
      backendName: backend.name,
      backendAddresses: backend.addresses,
    });
    await virsh.runWithXml(xml, (path) => ['net-define', path, '--validate']);
    await virsh.run(['net-autostart', name]);
    fixed(`defined the network ${name}`);
  } else if (observed.bridge !== bridge || observed.gateway !== gatewayOf(subnet)) {
    throw new VmcError(
      'bad-config',
      `libvirt has a network ${name} on bridge ${observed.bridge} with ${observed.gateway}, not ${bridge} with ${gatewayOf(subnet)}.`,
      `Choose another network.name in host-agent.toml, or stop its VMs and run \`virsh net-destroy ${name}; virsh net-undefine ${name}\`.`,
    );
  }
  if (!(await isActive(virsh, name))) {
    await virsh.run(['net-start', name]);
    fixed(`started the network ${name}`);
  }
  if (observed !== undefined) await ensureNames(virsh, name, observed.names, backend, fixed);
  if ((await readFile(IP_FORWARD, 'utf8')).trim() !== '1') {
    await writeFile(IP_FORWARD, '1');
    fixed('switched IPv4 forwarding on (net.ipv4.ip_forward)');
  }
}

/** The backend's name follows its addresses. */
async function ensureNames(
  virsh: Virsh,
  network: string,
  observed: readonly DnsName[],
  backend: BackendEndpoint,
  fixed: Fixed,
): Promise<void> {
  const wanted = backend.addresses.map((address) => ({ name: backend.name, address }));
  const same = (a: DnsName, b: DnsName) => a.name === b.name && a.address === b.address;
  const update = async (command: 'add' | 'delete', it: DnsName) => {
    await virsh.run(['net-update', network, command, 'dns-host', dnsNameXml(it), '--live', '--config']);
    fixed(`${command === 'add' ? 'added' : 'removed'} the DNS answer ${it.name} → ${it.address}`);
  };
  for (const old of observed) if (!wanted.some((it) => same(it, old))) await update('delete', old);
  for (const it of wanted) if (!observed.some((old) => same(it, old))) await update('add', it);
}

/** Adds and removes reservations until they are `wanted`; those without a VM's name are left alone. */
export async function ensureReservations(
  config: Config,
  virsh: Virsh,
  wanted: readonly Reservation[],
  fixed: Fixed = () => {},
): Promise<void> {
  const { name } = config.network;
  const observed = await observeNetwork(virsh, name);
  if (observed === undefined) throw new VmcError('wrong-state', `There is no network ${name}.`);
  const same = (a: Reservation, b: Reservation) => a.mac === b.mac && a.address === b.address && a.name === b.name;
  for (const old of observed.reservations)
    if (old.name.startsWith('vm-') && !wanted.some((it) => same(it, old))) {
      await updateReservation(virsh, name, 'delete', old);
      fixed(`removed the address reservation of ${old.name}`);
    }
  for (const it of wanted)
    if (!observed.reservations.some((old) => same(it, old))) {
      await updateReservation(virsh, name, 'add', it);
      fixed(`reserved ${it.address} for ${it.name}`);
    }
}

/** @returns undefined when libvirt has no such network. */
export async function observeNetwork(virsh: Virsh, name: string): Promise<ObservedNetwork | undefined> {
  try {
    return parseNetwork(await virsh.run(['net-dumpxml', name]));
  } catch (error) {
    if (error instanceof VmcError && error.code === 'not-found') return undefined;
    throw error;
  }
}

async function updateReservation(virsh: Virsh, network: string, command: 'add' | 'delete', it: Reservation) {
  await virsh.run(['net-update', network, command, 'ip-dhcp-host', reservationXml(it), '--live', '--config']);
}

async function isActive(virsh: Virsh, name: string): Promise<boolean> {
  return (await virsh.run(['net-list', '--name'])).split('\n').includes(name);
}

async function hasFilter(virsh: Virsh): Promise<boolean> {
  const wanted = antiSpoofingXml();
  const uuid = /<uuid>([0-9a-f-]+)<\/uuid>/.exec(wanted)?.[1] ?? '';
  return (await virsh.run(['nwfilter-list'])).includes(uuid);
}
