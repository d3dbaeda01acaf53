/** Who may use a drive, its keys for each of them, and the sealed backup of its header. */
import * as z from 'zod';
import { base64Schema, driveIdSchema, nameSchema, userIdSchema } from '../names.ts';
import { defineRoute, none } from './route.ts';

const byDrive = z.strictObject({ driveId: driveIdSchema });
const byPerson = byDrive.extend({ userId: userIdSchema });

const WRAPPED_KEY_MAX_BYTES = 4096;
/** The owner's, and those of everybody with whom a drive may be shared. */
export const STAGED_KEYS_MAX = 256;
/** A key envelope: connect/drive/key-envelope.ts, docs/protocol.md. The same bounds wherever it comes and goes: one that were stored and not readable would spoil the whole list that it is in. */
export const wrappedKeySchema = base64Schema(1, WRAPPED_KEY_MAX_BYTES);
/** ro: may attach it read-only · rw: may attach it either way */
export const driveAccessSchema = z.enum(['ro', 'rw']);
export type DriveAccess = z.output<typeof driveAccessSchema>;

export const drivePersonSchema = z.object({
  userId: userIdSchema,
  name: nameSchema,
  access: driveAccessSchema,
  since: z.number().int(),
});
export type DrivePerson = z.output<typeof drivePersonSchema>;

/** The caller's own next envelope says which change is meant: another device may have begun another one. */
const ownNextKey = z.strictObject({ wrappedKey: wrappedKeySchema });

/** Sealed on the owner's device: connect/drive/header-envelope.ts. */
export const SEALED_HEADER_MAX_BYTES = 5 * 1024 * 1024;
/** In base64, with what is around it. */
const HEADER_BODY_MAX_BYTES = Math.ceil(SEALED_HEADER_MAX_BYTES / 3) * 4 + 1024;

export const drivePeopleRoutes = {
  drivePeople: defineRoute({
    method: 'GET',
    path: '/v1/drives/:driveId/people',
    summary: 'With whom a drive is shared (its owner only)',
    auth: 'user',
    params: byDrive,
    body: none,
    result: z.object({ people: z.array(drivePersonSchema) }),
  }),
  /** For somebody who has it already: another access or another envelope. */
  driveShare: defineRoute({
    method: 'PUT',
    path: '/v1/drives/:driveId/people/:userId',
    summary: 'Share a drive: its key, wrapped by the owner for one more person (its owner only)',
    auth: 'user',
    params: byPerson,
    body: z.strictObject({ access: driveAccessSchema, wrappedKey: wrappedKeySchema }),
    result: z.object({}),
  }),
  /** Refused while the drive is attached to a VM that they reach and its owner does not: detach it first. */
  driveUnshare: defineRoute({
    method: 'DELETE',
    path: '/v1/drives/:driveId/people/:userId',
    summary: 'Take a drive from a person. What they know they know: change its key (its owner, or they themselves)',
    auth: 'user',
    params: byPerson,
    body: none,
    result: z.object({}),
  }),
  /**
   * The first half of a change of key: a new envelope for the owner and everybody it is shared with, beside the present
   * ones, which stay until `driveKeyCommit`. Refused while another change is open, and when somebody is left out.
   */
  driveKeyStage: defineRoute({
    method: 'PUT',
    path: '/v1/drives/:driveId/next-key',
    summary: "Store a drive's next key beside its present one (its owner only)",
    auth: 'user',
    params: byDrive,
    body: z.strictObject({
      keys: z
        .array(z.strictObject({ userId: userIdSchema, wrappedKey: wrappedKeySchema }))
        .min(1)
        .max(STAGED_KEYS_MAX),
    }),
    result: z.object({}),
    maxBodyBytes: STAGED_KEYS_MAX * (Math.ceil(WRAPPED_KEY_MAX_BYTES / 3) * 4 + 128),
  }),
  /** Once the drive opens with the next key: it becomes the present one, and the one before is forgotten. Repeating it is fine. Refused for a change that was given up. */
  driveKeyCommit: defineRoute({
    method: 'POST',
    path: '/v1/drives/:driveId/next-key/commit',
    summary: 'The next key is the key from now on (its owner only)',
    auth: 'user',
    params: byDrive,
    body: ownNextKey,
    result: z.object({}),
  }),
  /** Once it is certain that the drive does not open with it. */
  driveKeyForget: defineRoute({
    method: 'DELETE',
    path: '/v1/drives/:driveId/next-key',
    summary: 'Give a change of key up (its owner only)',
    auth: 'user',
    params: byDrive,
    body: ownNextKey,
    result: z.object({}),
  }),
  driveHeaderPut: defineRoute({
    method: 'PUT',
    path: '/v1/drives/:driveId/header',
    summary: "Store a backup of a drive's LUKS header, sealed by its owner; the one before is kept too",
    auth: 'user',
    params: byDrive,
    body: z.strictObject({ sealed: base64Schema(1, SEALED_HEADER_MAX_BYTES) }),
    result: z.object({ storedAt: z.number().int() }),
    maxBodyBytes: HEADER_BODY_MAX_BYTES,
  }),
  driveHeaderGet: defineRoute({
    method: 'GET',
    path: '/v1/drives/:driveId/header',
    summary: "The backups of a drive's LUKS header, newest first (its owner only)",
    auth: 'user',
    params: byDrive,
    body: none,
    result: z.object({
      backups: z
        .array(z.object({ storedAt: z.number().int(), sealed: base64Schema(1, SEALED_HEADER_MAX_BYTES) }))
        .max(2),
    }),
    maxAnswerBytes: 2 * HEADER_BODY_MAX_BYTES,
  }),
};
