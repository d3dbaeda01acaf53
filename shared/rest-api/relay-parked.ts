/** What the backend asks a relay that runs by itself. Not a route of the backend: it has no place in the table. */
import * as z from 'zod';
import { vmIdSchema } from '../names.ts';
import { defineRoute, none } from './route.ts';

/** Authorization: Bearer and a question (shared/relay/ticket.ts) in base64url. */
export const relayParked = defineRoute({
  method: 'GET',
  path: '/v1/relay/parked',
  summary: 'The VMs of which a socket is parked',
  auth: 'none',
  params: none,
  body: none,
  result: z.object({ vmIds: z.array(vmIdSchema).max(200_000) }),
});
