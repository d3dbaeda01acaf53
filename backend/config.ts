/** The backend's configuration. packaging/etc/backend.toml documents every key. */
import * as z from 'zod';
import { LOG_LEVELS } from '../shared/log.ts';
import { portSchema, sha256HexSchema } from '../shared/names.ts';
import { MAX_RELAYS } from '../shared/rest-api/vm-enrol.ts';
import { addressSchema, count, listenPortSchema, metricsSchema, pathSchema, relayShape } from './relay/relay-config.ts';

const httpsUrlSchema = z
  .url({ protocol: /^https$/ })
  .refine((url) => URL.canParse(url) && new URL(url).pathname === '/', 'give https://host:port, without a path')
  .transform((url) => new URL(url).origin);
const relaySchema = z.strictObject({ url: httpsUrlSchema, pin: sha256HexSchema });

export const configSchema = z
  .strictObject({
    /** What VMs, hosts and people use to reach this backend. */
    publicUrl: httpsUrlSchema,
    stateDir: pathSchema.default('/var/lib/vmc-backend'),
    logLevel: z.enum(LOG_LEVELS).default('info'),
    sessionHours: z.number().min(0.01).max(168).default(12),
    auditDays: count(400),
    listen: z
      .strictObject({
        address: addressSchema.default('0.0.0.0'),
        port: listenPortSchema.default(8443),
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
        /** The backend is a relay itself. */
        embedded: z.boolean().default(true),
        /** Relays that run by themselves. */
        others: z
          .array(relaySchema)
          .max(MAX_RELAYS - 1)
          .default([]),
        ...relayShape,
      })
      .refine((it) => it.embedded || it.others.length > 0, 'there has to be a relay: embedded, or others')
      .prefault({}),
    metrics: metricsSchema,
    limits: z
      .strictObject({
        connections: count(20_000),
        connectionsPerAddress: count(4096),
        unauthenticatedPerMinute: count(300),
        refusedPerMinute: count(300),
        ticketsPerMinute: count(600),
        vmsPerUser: count(100),
        drivesPerUser: count(200),
        snapshotsPerUser: count(1000),
      })
      .prefault({}),
  })
  .readonly();

export type Config = z.output<typeof configSchema>;
/** As it is in the file, before defaults. */
export type ConfigInput = z.input<typeof configSchema>;
