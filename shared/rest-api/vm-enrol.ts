/** The routes that a VM calls. */
import * as z from 'zod';
import { publicIdentitySchema } from '../identity/public-identity.ts';
import { base64Schema, sha256HexSchema, vmIdSchema } from '../names.ts';
import { PASS_BYTES } from '../relay/ticket.ts';
import { defineRoute, none } from './route.ts';

export const MAX_RELAYS = 16;

/** One of the backend's relays. The one with the backend's own pin is the backend itself, wherever the caller reaches that. */
export const relaySchema = z.object({ url: z.url({ protocol: /^https$/ }), pin: sha256HexSchema });
export type RelayAddress = z.output<typeof relaySchema>;

/** With what and where a VM parks its sockets. */
export const relayAccessSchema = z.object({
  pass: base64Schema(PASS_BYTES, PASS_BYTES),
  relays: z.array(relaySchema).min(1).max(MAX_RELAYS),
});
export type RelayAccess = z.output<typeof relayAccessSchema>;

/** Statement "vm-enrol" over: token, vm id (UTF-8), ed25519, x25519, mlkem768. Repeating it with the same keys succeeds. */
export const vmEnrol = defineRoute({
  method: 'POST',
  path: '/v1/vms/enrol',
  summary: 'A VM gives its public keys, once, and gets its first pass for the relays',
  auth: 'none',
  params: none,
  body: z.strictObject({
    vmId: vmIdSchema,
    enrolToken: base64Schema(32, 32),
    identity: publicIdentitySchema,
    signature: base64Schema(64, 64),
  }),
  result: relayAccessSchema,
});

/** Statement "vm-pass" over: challenge, vm id (UTF-8), the backend's pin (hex as UTF-8). */
export const vmPass = defineRoute({
  method: 'POST',
  path: '/v1/vms/:vmId/relay-pass',
  summary: 'A VM that has enrolled gets a new pass for the relays',
  auth: 'none',
  params: z.strictObject({ vmId: vmIdSchema }),
  body: z.strictObject({ challenge: base64Schema(32, 32), signature: base64Schema(64, 64) }),
  result: relayAccessSchema,
});
