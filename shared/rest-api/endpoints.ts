/** Endpoints: ports of the backend that lead to port 22 of a VM. */
import * as z from 'zod';
import { endpointIdSchema, portSchema, userIdSchema, vmIdSchema } from '../names.ts';
import { defineRoute, none } from './route.ts';

const count = z.number().int().min(0);

const openedSchema = z.object({
  endpointId: endpointIdSchema,
  port: portSchema,
  /** The only address that may connect. */
  sourceAddress: z.string(),
  /** Unix time in milliseconds: when it closes whatever happens. */
  expiresAt: z.number().int(),
});

export const endpointSchema = openedSchema.extend({
  userId: userIdSchema,
  vmId: vmIdSchema,
  openedAt: z.number().int(),
  /** Open now. */
  streams: count,
  streamsTotal: count,
  /** As the VM sees it: what it was sent, and what it sent. TLS is part of it. */
  bytesIn: count,
  bytesOut: count,
});
export type EndpointInfo = z.output<typeof endpointSchema>;

export const endpointRoutes = {
  endpointOpen: defineRoute({
    method: 'POST',
    path: '/v1/vms/:vmId/endpoints',
    summary: "Open a port that leads to the VM's port 22, for the caller's address only",
    auth: 'user',
    params: z.strictObject({ vmId: vmIdSchema }),
    body: none,
    result: openedSchema,
  }),
  endpointList: defineRoute({
    method: 'GET',
    path: '/v1/endpoints',
    summary: "The caller's open endpoints (admins: all)",
    auth: 'user',
    params: none,
    body: none,
    result: z.object({ endpoints: z.array(endpointSchema) }),
  }),
  endpointClose: defineRoute({
    method: 'DELETE',
    path: '/v1/endpoints/:endpointId',
    summary: 'Close an endpoint and its streams: one of the caller (admins: any)',
    auth: 'user',
    params: z.strictObject({ endpointId: endpointIdSchema }),
    body: none,
    result: z.object({}),
  }),
};
