/** What the kernel and the resolver's files say about the network. */
import * as z from 'zod';

const ipv4 = z.ipv4();
const isIPv4 = (text: string) => ipv4.safeParse(text).success;

/** IPv4 nameservers of a resolv.conf(5), without those of this machine itself. */
export function nameservers(resolvConf: string): string[] {
  return resolvConf
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? '')
    .filter((address) => isIPv4(address) && !address.startsWith('127.') && address !== '0.0.0.0');
}

/** Gateways of the default routes in /proc/net/route: hex, least significant byte first; flag 2 is RTF_GATEWAY. */
export function gateways(procNetRoute: string): string[] {
  return procNetRoute
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter(([, destination, , flags = '0']) => destination === '00000000' && (Number.parseInt(flags, 16) & 2) !== 0)
    .map(([, , gateway = '']) => addressOf(gateway))
    .filter((address) => isIPv4(address) && address !== '0.0.0.0');
}

function addressOf(hex: string): string {
  const bytes = hex.match(/[0-9A-F]{2}/gi) ?? [];
  return bytes
    .reverse()
    .map((byte) => Number.parseInt(byte, 16))
    .join('.');
}
