/** IPv4 arithmetic: just what the host's own network of VMs needs. */
export interface Subnet {
  /** Network address as an unsigned 32-bit number. */
  base: number;
  prefix: number;
  /** Addresses in it, the network's own and broadcast included. */
  size: number;
}

export function ipToNumber(ip: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(ip);
  if (match === null) return undefined;
  const parts = match.slice(1).map(Number);
  return parts.some((part) => part > 255) ? undefined : parts.reduce((sum, part) => sum * 256 + part, 0);
}

export function numberToIp(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

/** @returns undefined unless it is `a.b.c.d/n` with all host bits zero. */
export function parseSubnet(text: string): Subnet | undefined {
  const [ip = '', bits = '', ...rest] = text.split('/');
  const base = ipToNumber(ip);
  if (base === undefined || rest.length > 0 || !/^\d{1,2}$/.test(bits) || Number(bits) > 32) return undefined;
  const prefix = Number(bits);
  const size = 2 ** (32 - prefix);
  return base % size === 0 ? { base, prefix, size } : undefined;
}

/** @throws for what `parseSubnet` does not accept: configurations are checked before. */
export function subnetOf(text: string): Subnet {
  const parsed = parseSubnet(text);
  if (parsed === undefined) throw new Error(`not a subnet: ${text}`);
  return parsed;
}

/** The host's own address on the bridge: the first one. */
export const gatewayOf = (subnet: Subnet): string => numberToIp(subnet.base + 1);

export const netmaskOf = (subnet: Subnet): string => numberToIp((2 ** 32 - subnet.size) >>> 0);
