/** The one route a VM calls. */
import * as z from 'zod';
import { publicIdentitySchema } from '../identity/public-identity.ts';
import { base64Schema, vmIdSchema } from '../names.ts';
import { defineRoute, none } from './route.ts';

/** Statement "vm-enrol" over: token, vm id (UTF-8), ed25519, x25519, mlkem768. Repeating it with the same keys succeeds. */
export const vmEnrol = defineRoute({
  method: 'POST',
  path: '/v1/vms/enrol',
  summary: 'A VM gives its public keys, once',
  auth: 'none',
  params: none,
  body: z.strictObject({
    vmId: vmIdSchema,
    enrolToken: base64Schema(32, 32),
    identity: publicIdentitySchema,
    signature: base64Schema(64, 64),
  }),
  result: z.object({}),
});
