/** The configuration of a relay that runs by itself. packaging/etc/relay.toml documents every key. */
import { isAbsolute } from 'node:path';
import * as z from 'zod';
import { ed25519PublicKey } from '../../shared/identity/keys.ts';
import { LOG_LEVELS } from '../../shared/log.ts';
import { base64Schema, portSchema } from '../../shared/names.ts';

export const pathSchema = z.string().refine(isAbsolute, 'give an absolute path');
export const addressSchema = z.union([z.ipv4(), z.ipv6()]);
export const count = (fallback: number) => z.number().int().min(1).max(1_000_000).default(fallback);
/** 0: any free one, for tests. */
export const listenPortSchema = portSchema.or(z.literal(0));

/** What every relay has, the backend's own too. */
export const relayShape = {
  idlePerVm: count(4),
  idlePerOwner: count(400),
  pairedPerVm: count(64),
  pairedPerUser: count(128),
  preAuth: count(1024),
  preAuthPerAddress: count(256),
  /** From TCP's connect until it is known who it is. */
  preAuthSeconds: z.number().min(1).max(60).default(10),
  captureFile: pathSchema.optional(),
  /** The capture ends when the file is as large as this. */
  captureMaxMiB: count(1024),
};

/** Without a port there are no metrics. */
export const metricsSchema = z
  .strictObject({ address: addressSchema.default('127.0.0.1'), port: listenPortSchema.optional() })
  .prefault({});

export const relayConfigSchema = z
  .strictObject({
    /** Public half of the backend's ticket key, as `backend ticket-key` prints it. */
    ticketKey: base64Schema(32, 32).transform((bytes, context) => {
      try {
        return ed25519PublicKey(bytes);
      } catch {
        context.addIssue({ code: 'custom', message: 'this is no key' });
        return z.NEVER;
      }
    }),
    stateDir: pathSchema.default('/var/lib/vmc-relay'),
    logLevel: z.enum(LOG_LEVELS).default('info'),
    listen: z
      .strictObject({ address: addressSchema.default('0.0.0.0'), port: listenPortSchema.default(8444) })
      .prefault({}),
    relay: z.strictObject(relayShape).prefault({}),
    limits: z
      .strictObject({
        connections: count(20_000),
        connectionsPerAddress: count(4096),
        refusedPerMinute: count(300),
      })
      .prefault({}),
    metrics: metricsSchema,
  })
  .readonly();

export type RelayConfig = z.output<typeof relayConfigSchema>;
