/** Hosts, VMs and drives. */
import * as z from 'zod';
import {
  domainStateSchema,
  driveAllocationSchema,
  driveFormatSchema,
  driveSizeSchema,
  hostReportSchema,
  pausedBecauseSchema,
} from '../agent-api/index.ts';
import { publicIdentitySchema } from '../identity/public-identity.ts';
import {
  base64Schema,
  driveIdSchema,
  hostIdSchema,
  imageNameSchema,
  ipv4Schema,
  nameSchema,
  userIdSchema,
  vmIdSchema,
} from '../names.ts';
import { TICKET_BYTES } from '../relay/ticket.ts';
import { wrappedKeySchema } from './drive-people.ts';
import { jobSchema } from './jobs.ts';
import { defineRoute, none } from './route.ts';
import { MAX_RELAYS, relaySchema, vmEnrol, vmPass } from './vm-enrol.ts';

const signature = base64Schema(64, 64);
const enrolToken = base64Schema(32, 32);

export const hostSchema = z.object({
  hostId: hostIdSchema,
  name: nameSchema,
  /** down: not heard from. */
  state: z.enum(['new', 'active', 'down']),
  /** Where the endpoints reach this host's forwarded ports. */
  address: ipv4Schema.optional(),
  lastSeenAt: z.number().int().optional(),
  report: hostReportSchema.optional(),
});
export type Host = z.output<typeof hostSchema>;

export const vmSchema = z.object({
  vmId: vmIdSchema,
  name: nameSchema,
  ownerId: userIdSchema,
  hostId: hostIdSchema,
  image: imageNameSchema,
  cores: z.number().int(),
  memoryMiB: z.number().int(),
  /** creating: not yet made on the host, or that failed: see `problem` · unknown: its host is down */
  state: z.enum(['creating', 'unknown', ...domainStateSchema.options]),
  problem: z.string().optional(),
  /** Of a VM that is paused, when not a person has done it. `problem` says what helps. */
  pausedBecause: pausedBecauseSchema.optional(),
  /** A socket of this VM waits at the relay: it can be reached. */
  ready: z.boolean(),
  /** The VM's own public keys, once it has enrolled. connect pins them at first contact. */
  identity: publicIdentitySchema.optional(),
  createdAt: z.number().int(),
});
export type Vm = z.output<typeof vmSchema>;

export const driveSchema = z.object({
  driveId: driveIdSchema,
  name: nameSchema,
  ownerId: userIdSchema,
  hostId: hostIdSchema,
  format: driveFormatSchema,
  sizeBytes: z.number().int(),
  /** creating: its file is being made · failed: that failed or was cut short; it can only be deleted */
  state: z.enum(['creating', 'made', 'failed']).default('made'),
  /** The first of `attachments`. */
  attachedTo: vmIdSchema.optional(),
  readOnly: z.boolean().optional(),
  /** One read-write, or any number read-only. Who is not its owner sees those at VMs that they reach. */
  attachments: z.array(z.object({ vmId: vmIdSchema, readOnly: z.boolean() })).default([]),
  /** The drive's key: on a device wrapped to the asking person's public keys, and signed by them (docs/protocol.md, stored drive keys). */
  wrappedKey: wrappedKeySchema.optional(),
  /** While a change of key is open: the drive opens with this one or with `wrappedKey`, or with both. */
  nextWrappedKey: wrappedKeySchema.optional(),
  /**
   * Of a drive that was restored: the owner's envelopes of the drive that the snapshot was taken of, as they were then and
   * made out to its id. One of them has the key; `drivePutKey` takes it, wrapped anew for this drive.
   */
  restored: z.object({ driveId: driveIdSchema, wrappedKeys: z.array(wrappedKeySchema) }).optional(),
  /** Of the account that made the drive, and signs the keys of everybody it shares it with. */
  ownerName: nameSchema.optional(),
  /** What the asking person may: owner: all · rw, ro: it was shared with them */
  access: z.enum(['owner', 'rw', 'ro']).default('owner'),
  createdAt: z.number().int(),
});
export type Drive = z.output<typeof driveSchema>;

const vmParam = z.strictObject({ vmId: vmIdSchema });
const driveParam = z.strictObject({ driveId: driveIdSchema });

export const machineRoutes = {
  hostAdd: defineRoute({
    method: 'POST',
    path: '/v1/hosts',
    summary: 'Register a host; the answer has the one-time token for its agent',
    auth: 'admin',
    params: none,
    body: z.strictObject({ name: nameSchema }),
    result: z.object({ hostId: hostIdSchema, enrolToken: z.base64() }),
  }),
  hostList: defineRoute({
    method: 'GET',
    path: '/v1/hosts',
    summary: 'All hosts',
    auth: 'user',
    params: none,
    body: none,
    result: z.object({ hosts: z.array(hostSchema) }),
  }),
  /** Statement "host-enrol" over: token, host id (UTF-8), ed25519, x25519, mlkem768, address (UTF-8). */
  hostEnrol: defineRoute({
    method: 'POST',
    path: '/v1/hosts/enrol',
    summary: 'A host agent gives its public keys, once',
    auth: 'none',
    params: none,
    body: z.strictObject({
      hostId: hostIdSchema,
      enrolToken,
      identity: publicIdentitySchema,
      address: ipv4Schema,
      signature,
    }),
    result: z.object({}),
  }),
  vmCreate: defineRoute({
    method: 'POST',
    path: '/v1/vms',
    summary: 'Make and start a VM owned by the caller',
    auth: 'user',
    params: none,
    body: z.strictObject({
      name: nameSchema,
      image: imageNameSchema,
      cores: z.number().int().min(1).max(512).default(2),
      memoryMiB: z
        .number()
        .int()
        .min(256)
        .max(16 * 1024 * 1024)
        .default(2048),
      hostId: hostIdSchema.optional(),
    }),
    result: vmSchema,
  }),
  vmList: defineRoute({
    method: 'GET',
    path: '/v1/vms',
    summary: 'VMs the caller owns or was added to (admins: all)',
    auth: 'user',
    params: none,
    body: none,
    result: z.object({ vms: z.array(vmSchema) }),
  }),
  vmGet: defineRoute({
    method: 'GET',
    path: '/v1/vms/:vmId',
    summary: 'One VM',
    auth: 'user',
    params: vmParam,
    body: none,
    result: vmSchema,
  }),
  vmStart: defineRoute({
    method: 'POST',
    path: '/v1/vms/:vmId/start',
    summary: 'Start a VM',
    auth: 'user',
    params: vmParam,
    body: none,
    result: vmSchema,
  }),
  vmShutdown: defineRoute({
    method: 'POST',
    path: '/v1/vms/:vmId/shutdown',
    summary: 'Ask a VM to shut down and wait; with force cut its power after that',
    auth: 'user',
    params: vmParam,
    body: z.strictObject({
      waitSeconds: z.number().int().min(0).max(600).default(120),
      force: z.boolean().default(false),
    }),
    result: vmSchema,
  }),
  vmDelete: defineRoute({
    method: 'DELETE',
    path: '/v1/vms/:vmId',
    summary: 'Delete a VM that is off. Its drives stay',
    auth: 'user',
    params: vmParam,
    body: none,
    result: z.object({}),
  }),
  vmEnrol,
  vmPass,
  relayTicket: defineRoute({
    method: 'POST',
    path: '/v1/vms/:vmId/relay-ticket',
    summary: 'Get tickets with which to reach a VM through the relays: each for one relay, once, within a minute',
    auth: 'user',
    params: vmParam,
    body: none,
    result: z.object({
      relays: z
        .array(relaySchema.extend({ ticket: base64Schema(TICKET_BYTES, TICKET_BYTES) }))
        .min(1)
        .max(MAX_RELAYS),
      expiresAt: z.number().int(),
    }),
  }),
  driveCreate: defineRoute({
    method: 'POST',
    path: '/v1/drives',
    summary: 'Make a blank drive owned by the caller',
    auth: 'user',
    params: none,
    body: z.strictObject({
      name: nameSchema,
      sizeBytes: driveSizeSchema,
      format: driveFormatSchema.default('qcow2'),
      allocation: driveAllocationSchema.default('sparse'),
      hostId: hostIdSchema.optional(),
    }),
    /** falloc and full take their time: the drive is being made, by this job. */
    result: driveSchema.extend({ job: jobSchema.optional() }),
  }),
  driveList: defineRoute({
    method: 'GET',
    path: '/v1/drives',
    summary: 'Drives the caller owns, and those that were shared with them',
    auth: 'user',
    params: none,
    body: none,
    result: z.object({ drives: z.array(driveSchema) }),
  }),
  driveGet: defineRoute({
    method: 'GET',
    path: '/v1/drives/:driveId',
    summary: 'One drive',
    auth: 'user',
    params: driveParam,
    body: none,
    result: driveSchema,
  }),
  /** Refused when another key is stored: a key that is replaced is a drive that is lost. */
  drivePutKey: defineRoute({
    method: 'PUT',
    path: '/v1/drives/:driveId/key',
    summary: "Store the drive's key, wrapped to the caller's own public keys; once",
    auth: 'user',
    params: driveParam,
    body: z.strictObject({ wrappedKey: wrappedKeySchema }),
    result: z.object({}),
  }),
  driveUsage: defineRoute({
    method: 'GET',
    path: '/v1/drives/:driveId/usage',
    summary: "What the drive's file takes on the host now",
    auth: 'user',
    params: driveParam,
    body: none,
    result: z.object({ sizeBytes: z.number().int(), allocatedBytes: z.number().int() }),
  }),
  driveAttach: defineRoute({
    method: 'POST',
    path: '/v1/drives/:driveId/attach',
    summary: 'Attach a drive to a VM that the caller reaches',
    auth: 'user',
    params: driveParam,
    body: z.strictObject({ vmId: vmIdSchema, readOnly: z.boolean().default(false) }),
    result: driveSchema,
  }),
  driveDetach: defineRoute({
    method: 'POST',
    path: '/v1/drives/:driveId/detach',
    summary: 'Detach a drive that the VM has closed',
    auth: 'user',
    params: driveParam,
    /** Without a VM: from the only one it is attached to. */
    body: z.strictObject({ vmId: vmIdSchema.optional() }),
    result: driveSchema,
  }),
  driveDelete: defineRoute({
    method: 'DELETE',
    path: '/v1/drives/:driveId',
    summary: 'Delete a detached drive, for ever',
    auth: 'user',
    params: driveParam,
    body: z.strictObject({ confirm: driveIdSchema }),
    result: z.object({}),
  }),
};
