/** The one place outside that VMs may talk to: the backend, by address. */
import { lookup } from 'node:dns/promises';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { readIfThere, writeAtomic } from '../../shared/files.ts';
import { ipv4Schema } from '../../shared/names.ts';
import { parseJson } from '../../shared/validate.ts';
import type { Config } from '../config.ts';

export interface BackendEndpoint {
  /** As VMs may look it up. */
  name: string;
  addresses: readonly string[];
  port: number;
}

const rememberedSchema = z.strictObject({ name: z.string(), addresses: z.array(ipv4Schema).max(64) });

export function backendHostPort(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: port === '' ? 443 : Number(port) };
}

/**
 * Looks the backend's name up. When DNS does not answer, the addresses of the last time hold: a fault of DNS must not
 * cut running VMs off, and none of these addresses is less trusted than it was.
 * @throws VmcError 'unreachable' when there is nothing to go by.
 */
export async function backendEndpoint(config: Config): Promise<BackendEndpoint> {
  const { host, port } = backendHostPort(config.backend.url);
  if (isIPv4(host)) return { name: 'backend.vmc', addresses: [host], port };
  const memory = join(config.stateDir, 'backend-addresses.json');
  try {
    const found = await lookup(host, { all: true, family: 4 });
    const addresses = [...new Set(found.map((it) => it.address))].sort();
    const text = JSON.stringify({ name: host, addresses });
    if ((await readIfThere(memory)) !== text) await writeAtomic(memory, text, 0o600);
    return { name: host, addresses, port };
  } catch (error) {
    const remembered = await readIfThere(memory);
    if (remembered !== undefined) {
      const { name, addresses } = parseJson(rememberedSchema, remembered, memory, 'Remove it.');
      if (name === host) return { name, addresses, port };
    }
    throw new VmcError(
      'unreachable',
      `The backend's name ${host} does not resolve to an IPv4 address.`,
      'Check backend.url in host-agent.toml and the DNS of this host.',
      { cause: error },
    );
  }
}
