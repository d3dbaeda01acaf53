/** ISO images of the host's pool, in and out of VMs, always read-only. */
import * as z from 'zod';
import { isoIdSchema, isoNameSchema, vmIdSchema } from '../names.ts';
import { defineAgentMethod } from './define.ts';
import { vmStatusSchema } from './schemas.ts';

export const MAX_ISOS = 1000;

export const isoFileSchema = z.object({
  isoId: isoIdSchema,
  name: isoNameSchema,
  sizeBytes: z.number().int(),
});
export type IsoFile = z.output<typeof isoFileSchema>;

const isoAndVm = z.strictObject({ isoId: isoIdSchema, vmId: vmIdSchema });

export const isoMethods = {
  isoList: defineAgentMethod({
    name: 'iso.list',
    summary: 'The ISO images of this host',
    right: 'backend',
    changes: false,
    params: z.strictObject({}),
    result: z.object({ isos: z.array(isoFileSchema).max(MAX_ISOS) }),
    progress: false,
  }),
  isoAttach: defineAgentMethod({
    name: 'iso.attach',
    summary: 'Put an ISO image into a VM, live when it runs',
    right: 'backend',
    changes: true,
    params: isoAndVm,
    result: vmStatusSchema,
    progress: false,
  }),
  isoEject: defineAgentMethod({
    name: 'iso.eject',
    summary: 'Take an ISO image out of a VM, and wait until the guest has let go',
    right: 'backend',
    changes: true,
    params: isoAndVm,
    result: vmStatusSchema,
    progress: false,
  }),
};
