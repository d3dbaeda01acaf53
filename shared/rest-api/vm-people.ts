/**
 * Who may reach a VM besides its owner. This opens the relay and endpoints to them; what they may do in the VM is decided
 * there, and the backend does not know it (docs/rights.md).
 */
import * as z from 'zod';
import { publicIdentitySchema } from '../identity/public-identity.ts';
import { nameSchema, userIdSchema, vmIdSchema } from '../names.ts';
import { defineRoute, none } from './route.ts';

const vm = z.strictObject({ vmId: vmIdSchema });
const person = z.strictObject({ vmId: vmIdSchema, userId: userIdSchema });

export const vmPersonSchema = z.object({
  userId: userIdSchema,
  name: nameSchema,
  /** With the proof of the wrapping keys: what keys are shared with them by. */
  identity: publicIdentitySchema,
  mayInvite: z.boolean(),
  addedBy: userIdSchema,
  addedAt: z.number().int(),
});
export type VmPerson = z.output<typeof vmPersonSchema>;

export const vmPeopleRoutes = {
  vmPeopleList: defineRoute({
    method: 'GET',
    path: '/v1/vms/:vmId/people',
    summary: 'Who may reach a VM besides its owner',
    auth: 'user',
    params: vm,
    body: none,
    result: z.object({ people: z.array(vmPersonSchema) }),
  }),
  vmPersonPut: defineRoute({
    method: 'PUT',
    path: '/v1/vms/:vmId/people/:userId',
    summary: 'Let somebody reach a VM, and with mayInvite let others reach it',
    auth: 'user',
    params: person,
    body: z.strictObject({ mayInvite: z.boolean().default(false) }),
    result: z.object({}),
  }),
  vmPersonRemove: defineRoute({
    method: 'DELETE',
    path: '/v1/vms/:vmId/people/:userId',
    summary: 'Close the door to somebody, or to oneself; done already is fine',
    auth: 'user',
    params: person,
    body: none,
    result: z.object({}),
  }),
};
