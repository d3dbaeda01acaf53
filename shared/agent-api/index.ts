/** What the backend asks of a host agent, over the agent's own websocket (JSON-RPC 2.0, the agent parks it). */
import * as z from 'zod';
import { bootstrapSchema } from '../bootstrap.ts';
import { driveIdSchema, vmIdSchema } from '../names.ts';
import { defineAgentMethod as define } from './define.ts';
import { driveFileMethods } from './drive-files.ts';
import { isoMethods } from './isos.ts';
import {
  driveAllocationSchema,
  driveFileSchema,
  driveFormatSchema,
  driveSizeSchema,
  vmSpecSchema,
  vmStatusSchema,
} from './schemas.ts';
import { snapshotMethods } from './snapshots.ts';

export * from './drive-files.ts';
export * from './schemas.ts';

const byVm = z.strictObject({ vmId: vmIdSchema });
const byDrive = z.strictObject({ driveId: driveIdSchema });

export const agentMethods = {
  ...isoMethods,
  vmCreate: define({
    name: 'vm.create',
    summary: 'Overlay, domain, address, forward; then start it. Repeating it finishes what was begun',
    right: 'backend',
    changes: true,
    params: z.strictObject({ spec: vmSpecSchema, bootstrap: bootstrapSchema }),
    result: vmStatusSchema,
    progress: true,
  }),
  vmStart: define({
    name: 'vm.start',
    summary: 'Start a domain',
    right: 'backend',
    changes: true,
    params: byVm,
    result: vmStatusSchema,
    progress: false,
  }),
  vmShutdown: define({
    name: 'vm.shutdown',
    summary: 'Ask the guest to shut down, wait, then (if forced) cut its power',
    right: 'backend',
    changes: true,
    params: z.strictObject({ vmId: vmIdSchema, waitSeconds: z.number().int().min(0).max(600), force: z.boolean() }),
    result: vmStatusSchema,
    progress: false,
  }),
  vmDelete: define({
    name: 'vm.delete',
    summary: 'Remove a domain that is off, with its overlay, address and forward. Drives stay',
    right: 'backend',
    changes: true,
    params: byVm,
    result: z.object({}),
    progress: false,
  }),
  vmStatus: define({
    name: 'vm.status',
    summary: 'State of one domain',
    right: 'backend',
    changes: false,
    params: byVm,
    result: vmStatusSchema,
    progress: false,
  }),
  driveCreate: define({
    name: 'drive.create',
    summary: 'Make a blank drive file',
    right: 'backend',
    changes: true,
    params: z.strictObject({
      driveId: driveIdSchema,
      format: driveFormatSchema,
      sizeBytes: driveSizeSchema,
      allocation: driveAllocationSchema.default('sparse'),
    }),
    result: driveFileSchema,
    progress: true,
  }),
  driveInfo: define({
    name: 'drive.info',
    summary: 'Size and allocated bytes of a drive file',
    right: 'backend',
    changes: false,
    params: byDrive,
    result: driveFileSchema,
    progress: false,
  }),
  driveDelete: define({
    name: 'drive.delete',
    summary: 'Remove the file of a detached drive',
    right: 'backend',
    changes: true,
    params: byDrive,
    result: z.object({}),
    progress: false,
  }),
  driveAttach: define({
    name: 'drive.attach',
    summary: 'Attach a drive to a VM, live when it runs',
    right: 'backend',
    changes: true,
    /** `format` and `sizeBytes`, both or neither: of a file that another host made in a shared pool; this one takes it over. */
    params: z.strictObject({
      driveId: driveIdSchema,
      vmId: vmIdSchema,
      readOnly: z.boolean(),
      format: driveFormatSchema.optional(),
      sizeBytes: driveSizeSchema.optional(),
    }),
    result: vmStatusSchema,
    progress: false,
  }),
  driveDetach: define({
    name: 'drive.detach',
    summary: 'Detach a drive and wait until the guest has let go',
    right: 'backend',
    changes: true,
    params: z.strictObject({ driveId: driveIdSchema, vmId: vmIdSchema }),
    result: vmStatusSchema,
    progress: false,
  }),
  ...driveFileMethods,
  ...snapshotMethods,
};

export const HOST_REPORT = 'host.report';
/** GET with Upgrade; then a challenge as in relay-wire, statement "host-link" over challenge, host id, SPKI pin. */
export const HOST_LINK_PATH = '/v1/hosts/link';
export const hostLinkHelloSchema = z.strictObject({ type: z.literal('challenge'), challenge: z.base64().length(44) });
export const hostLinkAnswerSchema = z.strictObject({
  type: z.literal('link'),
  hostId: z.string().max(32),
  signature: z.base64().length(88),
});
