/** What the backend asks of a host agent, over the agent's own websocket (JSON-RPC 2.0, the agent parks it). */
import * as z from 'zod';
import { bootstrapSchema } from '../bootstrap.ts';
import { driveIdSchema, imageNameSchema, ipv4Schema, portSchema, vmIdSchema } from '../names.ts';
import type { Method } from '../rpc/method.ts';

function define<P extends z.ZodType, R extends z.ZodType>(method: Method<P, R, 'backend'>): Method<P, R, 'backend'> {
  return method;
}

export const driveFormatSchema = z.enum(['qcow2', 'raw']);
export const DRIVE_MIN_BYTES = 16 * 1024 * 1024;
export const DRIVE_MAX_BYTES = 64 * 1024 ** 4;
export const driveSizeSchema = z
  .number()
  .int()
  .min(DRIVE_MIN_BYTES)
  .max(DRIVE_MAX_BYTES)
  .multipleOf(1024 * 1024);

/** off · running · starting/stopping are not told apart from running: libvirt does not · paused: e.g. no space · absent: not defined */
export const domainStateSchema = z.enum(['absent', 'off', 'running', 'paused']);

export const vmSpecSchema = z.strictObject({
  vmId: vmIdSchema,
  image: imageNameSchema,
  cores: z.number().int().min(1).max(512),
  memoryMiB: z
    .number()
    .int()
    .min(256)
    .max(16 * 1024 * 1024),
});
export type VmSpec = z.output<typeof vmSpecSchema>;

export const vmStatusSchema = z.object({
  vmId: vmIdSchema,
  state: domainStateSchema,
  /** The VM's address on the host's isolated network, and the host port that is forwarded to its port 22. */
  address: ipv4Schema.optional(),
  hostPort: portSchema.optional(),
  attached: z.array(z.object({ driveId: driveIdSchema, readOnly: z.boolean() })),
});
export type VmStatus = z.output<typeof vmStatusSchema>;

export const driveFileSchema = z.object({
  driveId: driveIdSchema,
  format: driveFormatSchema,
  /** What the guest sees. */
  sizeBytes: z.number().int(),
  /** What the file takes on the host's disk now: st_blocks × 512. */
  allocatedBytes: z.number().int(),
  attachedTo: vmIdSchema.optional(),
});
export type DriveFile = z.output<typeof driveFileSchema>;

export const utilisationSchema = z.object({
  cores: z.number().int(),
  load1: z.number(),
  memoryBytes: z.number().int(),
  memoryFreeBytes: z.number().int(),
  pools: z.array(z.object({ name: z.string(), sizeBytes: z.number().int(), freeBytes: z.number().int() })),
});

/** Sent by the agent as the notification `host.report`: at connection, on change, and every minute. */
export const hostReportSchema = z.object({
  version: z.string(),
  libvirt: z.object({ ok: z.boolean(), version: z.string().optional(), problem: z.string().optional() }),
  utilisation: utilisationSchema,
  vms: z.array(vmStatusSchema).max(10_000),
});
export type HostReport = z.output<typeof hostReportSchema>;

const byVm = z.strictObject({ vmId: vmIdSchema });
const byDrive = z.strictObject({ driveId: driveIdSchema });

export const agentMethods = {
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
    params: z.strictObject({ driveId: driveIdSchema, format: driveFormatSchema, sizeBytes: driveSizeSchema }),
    result: driveFileSchema,
    progress: false,
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
    params: z.strictObject({ driveId: driveIdSchema, vmId: vmIdSchema, readOnly: z.boolean() }),
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
