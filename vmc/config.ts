/** /etc/vmc/vmc.toml: every key, its bounds and its default. packaging/etc/vmc.toml documents each (a test keeps them equal). */
import * as z from 'zod';
import { loadToml } from '../shared/config/load-toml.ts';
import { LOG_LEVELS } from '../shared/log.ts';
import { allowedTargetSchema } from './firewall/parse-target.ts';
import { portRangeSchema } from './tunnel/parse-ports.ts';

export const DEFAULT_CONFIG_PATH = '/etc/vmc/vmc.toml';

/** Without a final slash: paths are compared as text with what the kernel says. */
const folder = z.string().regex(/^\/(?!.*(?:^|\/)\.\.(?:\/|$))[^\0\n]*[^\0\n/]$/, 'an absolute path without a final /');
const count = (most: number) => z.number().int().min(1).max(most);

export const configSchema = z.strictObject({
  stateDir: folder.default('/var/lib/vmc'),
  logLevel: z.enum(LOG_LEVELS).default('info'),
  tunnel: z
    .strictObject({
      port: z.number().int().min(1).max(65535).default(22),
      ports: z.array(portRangeSchema).max(256).default([]),
      grantHours: z.number().min(0.01).max(168).default(12),
      maxPreAuth: count(4096).default(256),
      maxPreAuthPerAddress: count(4096).default(256),
      maxGrantsPerPerson: count(1024).default(16),
      maxStreamsPerGrant: count(4096).default(256),
      maxStreamsPerPerson: count(16_384).default(512),
      readyPerGrant: count(256).default(8),
      readySeconds: z.number().min(1).max(3600).default(60),
    })
    .prefault({}),
  sftp: z
    .strictObject({
      enabled: z.boolean().default(true),
      port: z.number().int().min(1).max(65535).default(2022),
      umask: z
        .string()
        .regex(/^0[0-7]{3}$/, 'an octal umask such as "0007"')
        .default('0007'),
      maxSessions: count(1024).default(64),
      maxSessionsPerPerson: count(256).default(16),
    })
    .prefault({}),
  accounts: z.strictObject({ homes: folder.default('/home'), shell: folder.default('/bin/bash') }).prefault({}),
  drives: z.strictObject({ mountRoot: folder.default('/mnt') }).prefault({}),
  nfs: z
    .strictObject({ servers: z.array(z.ipv4('the IPv4 address of an NFS server')).max(64).default([]) })
    .prefault({}),
  audit: z
    .strictObject({
      failClosed: z.boolean().default(false),
      maxMegabytes: count(4096).default(64),
      keepFiles: z.number().int().min(0).max(10_000).default(0),
    })
    .prefault({}),
  network: z.strictObject({ allow: z.array(allowedTargetSchema).max(1024).default([]) }).prefault({}),
});

export type Config = z.output<typeof configSchema>;

/** @throws VmcError 'bad-config' naming the file and the key. */
export const loadConfig = (path: string): Promise<Config> => loadToml(path, configSchema);
