/** ISO images of a VM's host. */
import * as z from 'zod';
import { isoFileSchema } from '../agent-api/isos.ts';
import { isoIdSchema, vmIdSchema } from '../names.ts';
import { defineRoute, none } from './route.ts';

const byVm = z.strictObject({ vmId: vmIdSchema });
const byVmAndIso = byVm.extend({ isoId: isoIdSchema });

export const isoRoutes = {
  isoList: defineRoute({
    method: 'GET',
    path: '/v1/vms/:vmId/isos',
    summary: "The ISO images of a VM's host, and which of them the VM has",
    auth: 'user',
    params: byVm,
    body: none,
    result: z.object({ isos: z.array(isoFileSchema.extend({ attached: z.boolean() })) }),
  }),
  isoAttach: defineRoute({
    method: 'PUT',
    path: '/v1/vms/:vmId/isos/:isoId',
    summary: 'Put an ISO image into a VM, read-only',
    auth: 'user',
    params: byVmAndIso,
    body: none,
    result: z.object({}),
  }),
  isoEject: defineRoute({
    method: 'DELETE',
    path: '/v1/vms/:vmId/isos/:isoId',
    summary: 'Take an ISO image out of a VM',
    auth: 'user',
    params: byVmAndIso,
    body: none,
    result: z.object({}),
  }),
};
