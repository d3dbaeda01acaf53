/** What libvirt has: every domain with its state and its disks, live and persistent. */
import * as z from 'zod';
import type { domainStateSchema } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import { printable } from '../../shared/run.ts';
import type { Virsh } from '../libvirt/virsh.ts';
import { parseXml } from '../libvirt/xml.ts';

export type DomainState = z.output<typeof domainStateSchema>;

export interface Disk {
  file: string;
  /** As what QEMU opens it: 'qcow2', 'raw'. */
  format: string | undefined;
  serial: string | undefined;
  /** Target number on the SCSI bus. */
  scsiTarget: number | undefined;
  readOnly: boolean;
}

export interface Domain {
  name: string;
  state: DomainState;
  /** QEMU has stopped it: a disk could not be written. */
  pausedBecause?: 'no-space' | 'io-error';
  /** Disks of the running machine; empty when it is off. */
  live: readonly Disk[];
  /** Disks it will have at its next start. */
  config: readonly Disk[];
  /** The persistent document. */
  xml: string;
}

const attribute = z.string().optional();
const diskSchema = z.object({
  driver: z.object({ '@type': attribute }).or(z.literal('')).optional(),
  source: z.object({ '@file': attribute }).or(z.literal('')).optional(),
  serial: attribute,
  readonly: z.unknown().optional(),
  address: z.object({ '@target': attribute }).optional(),
});
const domainSchema = z.object({
  domain: z.object({
    '@id': attribute,
    name: z.string(),
    devices: z.object({ disk: z.array(diskSchema).default([]) }).or(z.literal('').transform(() => ({ disk: [] }))),
  }),
});

interface ParsedDomain {
  name: string;
  disks: Disk[];
}

/** @throws VmcError 'bad-data'. */
export function parseDomain(xml: string): ParsedDomain {
  const parsed = domainSchema.safeParse(parseXml(xml));
  if (!parsed.success) throw new VmcError('bad-data', 'libvirt gave a domain that this version cannot read.');
  const disks: Disk[] = [];
  for (const disk of parsed.data.domain.devices.disk) {
    const file = typeof disk.source === 'object' ? disk.source['@file'] : undefined;
    const target = disk.address?.['@target'];
    if (file !== undefined)
      disks.push({
        file,
        format: typeof disk.driver === 'object' ? disk.driver['@type'] : undefined,
        serial: disk.serial,
        scsiTarget: target === undefined ? undefined : Number(target),
        readOnly: disk.readonly !== undefined,
      });
  }
  return { name: parsed.data.domain.name, disks };
}

const STATES: Record<string, DomainState> = {
  running: 'running',
  idle: 'running',
  'in shutdown': 'running',
  paused: 'paused',
  pmsuspended: 'paused',
  'shut off': 'off',
  crashed: 'off',
  'no state': 'off',
};

const IO_ERROR = 'I/O error';

/** Of `domstate --reason X; dumpxml X; dumpxml --inactive X; …` as one text. A domain that vanished meanwhile left nothing whole. */
export function parseInventory(text: string): Domain[] {
  const domains: Domain[] = [];
  let state: DomainState | undefined;
  let reason: string | undefined;
  let live: string | undefined;
  for (const [token, word, why] of text.matchAll(
    /^(running|idle|in shutdown|paused|pmsuspended|shut off|crashed|no state)(?: \(([^()\n]*)\))?$|^<domain[ >][\s\S]*?^<\/domain>$/gm,
  )) {
    if (!token.startsWith('<')) {
      state = STATES[word ?? ''];
      reason = why;
      live = undefined;
    } else if (state !== undefined && live === undefined) {
      live = token;
    } else if (state !== undefined && live !== undefined) {
      const config = parseDomain(token);
      domains.push({
        name: config.name,
        state,
        ...(state === 'paused' && reason === IO_ERROR ? { pausedBecause: 'io-error' as const } : {}),
        live: state === 'off' ? [] : parseDomain(live).disks,
        config: config.disks,
        xml: token,
      });
      state = undefined;
    }
  }
  return domains;
}

const show = (id: string) => `domstate --reason ${id}; dumpxml ${id}; dumpxml --inactive ${id}`;
/** Domains a virsh process is asked for: keeps its argv and its answer within bounds. */
const BATCH = 100;

/** One domain by name, or undefined when libvirt has none. @throws VmcError 'libvirt-down'. */
export async function inspectDomain(virsh: Virsh, name: string): Promise<Domain | undefined> {
  return (await inspect(virsh, [name]))[0];
}

/** All domains of this libvirt, also those that are none of ours: a drive of ours must not be in one of them. */
export async function inspectAllDomains(virsh: Virsh): Promise<Domain[]> {
  const uuids = (await virsh.run(['list', '--all', '--uuid'])).split('\n').filter((line) => line !== '');
  const domains: Domain[] = [];
  for (let i = 0; i < uuids.length; i += BATCH) domains.push(...(await inspect(virsh, uuids.slice(i, i + BATCH))));
  return domains;
}

async function inspect(virsh: Virsh, ids: readonly string[]): Promise<Domain[]> {
  const result = await virsh.attempt([ids.map(show).join('; ')]);
  const problem = result.stderr
    .split('\n')
    .find((line) => line !== '' && !/failed to get domain|Domain not found/.test(line));
  if (problem !== undefined) throw new VmcError('command-failed', `virsh: ${printable(problem)}`);
  const domains = parseInventory(result.stdout);
  for (const domain of domains)
    if (domain.pausedBecause !== undefined && (await lacksSpace(virsh, domain.name))) domain.pausedBecause = 'no-space';
  return domains;
}

/** `virsh domblkerror`: 'sda: no space', a line for each disk that failed. */
async function lacksSpace(virsh: Virsh, name: string): Promise<boolean> {
  const { stdout } = await virsh.attempt(['domblkerror', name]);
  return onlyLackSpace(stdout);
}

export function onlyLackSpace(text: string): boolean {
  const errors = text.split('\n').flatMap((line) => /^\S+: (.+)$/.exec(line)?.[1] ?? []);
  return errors.length > 0 && errors.every((error) => error === 'no space');
}

/** Where a drive's file is attached: live or from the next start on. */
export interface Holder {
  domain: string;
  readOnly: boolean;
}

export function holdersOf(domains: readonly Domain[], driveId: string, file: string): Holder[] {
  return domains.flatMap((domain) => {
    const disk = [...domain.live, ...domain.config].find((it) => it.file === file || it.serial === driveId);
    return disk === undefined ? [] : [{ domain: domain.name, readOnly: disk.readOnly }];
  });
}
