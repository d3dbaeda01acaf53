/** The drives that a VM has, whosever they are: for the owner of the VM. */
import * as z from 'zod';
import { driveIdSchema, nameSchema, userIdSchema, vmIdSchema } from '../names.ts';
import { defineRoute, none } from './route.ts';

const byVm = z.strictObject({ vmId: vmIdSchema });

/** Of somebody else's drive no more than whose it is: its name and its size are not the VM's. */
export const vmDriveSchema = z.object({
  driveId: driveIdSchema,
  readOnly: z.boolean(),
  ownerId: userIdSchema,
  ownerName: nameSchema.optional(),
});
export type VmDrive = z.output<typeof vmDriveSchema>;

export const vmDriveRoutes = {
  vmDriveList: defineRoute({
    method: 'GET',
    path: '/v1/vms/:vmId/drives',
    summary: 'The drives that are attached to a VM, and whose they are',
    auth: 'user',
    params: byVm,
    body: none,
    result: z.object({ drives: z.array(vmDriveSchema) }),
  }),
  vmDriveDetach: defineRoute({
    method: 'DELETE',
    path: '/v1/vms/:vmId/drives/:driveId',
    summary: "Detach a drive from a VM of the caller's, also somebody else's drive",
    auth: 'user',
    params: byVm.extend({ driveId: driveIdSchema }),
    body: none,
    result: z.object({}),
  }),
};
