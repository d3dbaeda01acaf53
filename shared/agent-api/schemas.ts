/** What a host agent tells of VMs, drives and itself. */
import * as z from 'zod';
import { driveIdSchema, imageNameSchema, ipv4Schema, isoIdSchema, portSchema, vmIdSchema } from '../names.ts';

export const driveFormatSchema = z.enum(['qcow2', 'raw']);
/** sparse: takes what was written · falloc: its space is set aside at once · full: every byte is written */
export const driveAllocationSchema = z.enum(['sparse', 'falloc', 'full']);
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

/** Of a VM that QEMU has stopped: a pool is full (it goes on by itself when there is space) · its disk failed. */
export const pausedBecauseSchema = z.enum(['no-space', 'io-error']);

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
  pausedBecause: pausedBecauseSchema.optional(),
  /** The VM's address on the host's isolated network, and the host port that is forwarded to its port 22. */
  address: ipv4Schema.optional(),
  hostPort: portSchema.optional(),
  attached: z.array(z.object({ driveId: driveIdSchema, readOnly: z.boolean() })),
  /** ISO images that it has; left out when there are none. */
  isos: z.array(isoIdSchema).max(254).optional(),
});
export type VmStatus = z.output<typeof vmStatusSchema>;

export const driveFileSchema = z.object({
  driveId: driveIdSchema,
  format: driveFormatSchema,
  /** What the guest sees. */
  sizeBytes: z.number().int(),
  /** What the file takes on the host's disk now: st_blocks × 512. */
  allocatedBytes: z.number().int(),
  allocation: driveAllocationSchema.optional(),
  /** The first of `attachments`. */
  attachedTo: vmIdSchema.optional(),
  attachments: z.array(z.object({ vmId: vmIdSchema, readOnly: z.boolean() })).optional(),
});
export type DriveFile = z.output<typeof driveFileSchema>;

export const utilisationSchema = z.object({
  cores: z.number().int(),
  load1: z.number(),
  memoryBytes: z.number().int(),
  memoryFreeBytes: z.number().int(),
  /** Pools with the same `id` are one folder, which several hosts share. */
  pools: z.array(
    z.object({
      name: z.string(),
      id: z.string().max(64).optional(),
      sizeBytes: z.number().int(),
      freeBytes: z.number().int(),
      /** Why nothing can be made or deleted there now: the folder is missing, or not the one it was. */
      problem: z.string().optional(),
    }),
  ),
});

/** Sent by the agent as the notification `host.report`: at connection, on change, and every minute. */
export const hostReportSchema = z.object({
  version: z.string(),
  libvirt: z.object({ ok: z.boolean(), version: z.string().optional(), problem: z.string().optional() }),
  utilisation: utilisationSchema,
  vms: z.array(vmStatusSchema).max(10_000),
});
export type HostReport = z.output<typeof hostReportSchema>;
