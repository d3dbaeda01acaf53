/** The backend's configuration. packaging/etc/backend.toml documents every key. */
import { isAbsolute } from 'node:path';
import * as z from 'zod';
import { LOG_LEVELS } from '../shared/log.ts';
import { portSchema } from '../shared/names.ts';

const pathSchema = z.string().refine(isAbsolute, 'give an absolute path');
const addressSchema = z.union([z.ipv4(), z.ipv6()]);
const count = (fallback: number) => z.number().int().min(1).max(1_000_000).default(fallback);

export const configSchema = z
  .strictObject({
    /** What VMs, hosts and people use to reach this backend. */
    publicUrl: z
      .url({ protocol: /^https$/ })
      .refine((url) => new URL(url).pathname === '/', 'give https://host:port, without a path')
      .transform((url) => new URL(url).origin),
    stateDir: pathSchema.default('/var/lib/vmc-backend'),
    logLevel: z.enum(LOG_LEVELS).default('info'),
    sessionHours: z.number().min(0.01).max(168).default(12),
    auditDays: count(400),
    listen: z
      .strictObject({
        address: addressSchema.default('0.0.0.0'),
        /** 0: any free one, for tests. */
        port: portSchema.or(z.literal(0)).default(8443),
      })
      .prefault({}),
    endpoints: z
      .strictObject({
        address: addressSchema.default('0.0.0.0'),
        firstPort: portSchema.default(6000),
        lastPort: portSchema.default(6100),
        idleSeconds: count(600),
        perUser: count(16),
        streams: count(64),
      })
      .refine((it) => it.firstPort <= it.lastPort, 'lastPort is below firstPort')
      .prefault({}),
    relay: z
      .strictObject({
        idlePerVm: count(4),
        pairedPerVm: count(64),
        pairedPerUser: count(128),
        preAuth: count(1024),
        preAuthPerAddress: count(256),
        captureFile: pathSchema.optional(),
      })
      .prefault({}),
    limits: z
      .strictObject({
        connections: count(20_000),
        connectionsPerAddress: count(4096),
        unauthenticatedPerMinute: count(300),
        vmsPerUser: count(100),
        drivesPerUser: count(200),
      })
      .prefault({}),
  })
  .readonly();

export type Config = z.output<typeof configSchema>;
/** As it is in the file, before defaults. */
export type ConfigInput = z.input<typeof configSchema>;
