/** One entry of the outbound allow list: "10.0.0.5:443/tcp" or "10.0.0.0/24:53/udp". IPv4: the VM has no IPv6. */
import * as z from 'zod';

export interface AllowedTarget {
  /** An address, or a network as address/prefix. */
  address: string;
  port: number;
  protocol: 'tcp' | 'udp';
}

const PATTERN = /^(\d{1,3}(?:\.\d{1,3}){3})(?:\/(\d{1,2}))?:(\d{1,5})\/(tcp|udp)$/;

/** @returns undefined for anything else. */
export function parseTarget(text: string): AllowedTarget | undefined {
  const match = PATTERN.exec(text);
  if (match === null) return undefined;
  const [, address = '', prefix, portText, protocol] = match;
  const port = Number(portText);
  if (!z.ipv4().safeParse(address).success || port < 1 || port > 65535) return undefined;
  if (prefix !== undefined && Number(prefix) > 32) return undefined;
  return {
    address: prefix === undefined ? address : `${address}/${Number(prefix)}`,
    port,
    protocol: protocol === 'udp' ? 'udp' : 'tcp',
  };
}

export const allowedTargetSchema = z.string().transform((text, context): AllowedTarget => {
  const target = parseTarget(text);
  if (target !== undefined) return target;
  context.addIssue({ code: 'custom', message: 'write address:port/tcp or address/prefix:port/udp' });
  return z.NEVER;
});
