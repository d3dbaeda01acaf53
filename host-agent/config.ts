/** /etc/vmc/host-agent.toml: every key, its unit and its default. packaging/etc/host-agent.toml explains them. */
import * as z from 'zod';
import { loadToml } from '../shared/config/load-toml.ts';
import { LOG_LEVELS } from '../shared/log.ts';
import { ipv4Schema, portSchema, sha256HexSchema } from '../shared/names.ts';
import { parseSubnet } from './network/subnet.ts';

/** An absolute folder, in normal form: it becomes part of file names that libvirt compares as text. */
const folder = z
  .string()
  .regex(/^(\/(?!\.{1,2}(\/|$))[a-zA-Z0-9._-]+)+$/, 'an absolute folder of a-z, 0-9, . _ - without a final /');

const subnet = z.string().refine((text) => {
  const parsed = parseSubnet(text);
  return parsed !== undefined && parsed.prefix >= 16 && parsed.prefix <= 29; // ipset bitmap:ip,mac holds a /16 at most
}, 'a network of /16 to /29, such as 10.92.0.0/24');

const MAX_RELAYS = 16;
const relayUrl = z
  .url({ protocol: /^https$/ })
  .refine((url) => ipv4Schema.safeParse(new URL(url).hostname).success, 'give https://ADDRESS:PORT, an IPv4 address');

export const configSchema = z.strictObject({
  backend: z.strictObject({
    url: z.url({ protocol: /^https$/ }),
    pin: sha256HexSchema,
    /** Relays that run by themselves: VMs may connect to these too. By address: the VMs' DNS answers for the backend's name only. */
    relays: z.array(relayUrl).max(MAX_RELAYS).default([]),
  }),
  address: ipv4Schema,
  stateDir: folder.default('/var/lib/vmc-host'),
  libvirtUri: z
    .string()
    .regex(/^qemu:\/\/\/system(\?socket=\/[a-zA-Z0-9._/-]+)?$/, 'qemu:///system, with ?socket=/path if need be')
    .default('qemu:///system'),
  accelerator: z.enum(['auto', 'kvm', 'tcg']).default('auto'),
  pools: z.strictObject({
    images: folder,
    drives: folder,
    /** Without one of these there are no snapshots, or no ISO images, on this host. */
    snapshots: folder.optional(),
    isos: folder.optional(),
    reserveMiB: z.number().int().min(0).default(1024),
    overcommit: z.number().min(1).max(1000).default(10),
    cache: z.enum(['none', 'writeback']).default('none'),
  }),
  snapshots: z
    .strictObject({
      /** Without it snapshots go to the pool only. */
      sftp: z
        .strictObject({
          server: z.string().regex(/^[a-zA-Z0-9:]([a-zA-Z0-9.:-]{0,252}[a-zA-Z0-9])?$/, 'a host name or an address'),
          port: portSchema.default(22),
          user: z.string().regex(/^[a-zA-Z0-9_][a-zA-Z0-9._@-]{0,63}$/),
          folder,
          hostKey: z
            .string()
            .regex(
              /^(ssh-ed25519|ecdsa-sha2-nistp(256|384)) [A-Za-z0-9+/]{40,400}={0,2}$/,
              'the server’s public key as in known_hosts: ssh-ed25519 AAAA… (or ecdsa-sha2-nistp256, -nistp384)',
            ),
          keyFile: folder,
        })
        .optional(),
    })
    .prefault({}),
  network: z
    .strictObject({
      name: z
        .string()
        .regex(/^[a-z][a-z0-9-]{0,30}$/)
        .default('vmc'),
      bridge: z
        .string()
        .regex(/^[a-z][a-z0-9]{0,14}$/, 'an interface name of at most 15 characters')
        .default('vmcbr0'),
      subnet: subnet.default('10.92.0.0/24'),
    })
    .prefault({}),
  forwardPorts: z
    .strictObject({ from: portSchema.default(20000), to: portSchema.default(20999) })
    .refine(({ from, to }) => from <= to, 'from is above to')
    .prefault({}),
  shutdownWaitSeconds: z.number().int().min(0).max(600).default(120),
  logLevel: z.enum(LOG_LEVELS).default('info'),
});

export type Config = z.output<typeof configSchema>;

export const DEFAULT_CONFIG_PATH = '/etc/vmc/host-agent.toml';

/** @throws VmcError 'bad-config'. */
export function loadConfig(path: string): Promise<Config> {
  return loadToml(path, configSchema);
}
