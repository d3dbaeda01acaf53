/** Keys of a drive: LUKS2 key slots, re-encryption, and its header in and out. */
import * as z from 'zod';
import { base64Schema, driveIdSchema, sha256HexSchema } from '../names.ts';
import { defineMethod } from './define.ts';
import { driveKeySchema, driveStatusSchema } from './drive.ts';

export const PASSPHRASE_MIN = 12;
export const PASSPHRASE_MAX = 512;
export const drivePassphraseSchema = z
  .string()
  .min(PASSPHRASE_MIN)
  .max(PASSPHRASE_MAX)
  .regex(/^\P{Cc}*$/u, 'one line, without control characters');

/** What opens a key slot: 32 random bytes, or words that a person remembers. */
export const driveUnlockSchema = z.union([
  z.strictObject({ key: driveKeySchema }),
  z.strictObject({ passphrase: drivePassphraseSchema }),
]);
export type DriveUnlock = z.output<typeof driveUnlockSchema>;

export const keySlotSchema = z.object({
  /** 0 to 31. */
  slot: z.number().int().min(0).max(31),
  /** key: random bytes, whose derivation is cheap on purpose · passphrase: argon2id */
  kind: z.enum(['key', 'passphrase']),
});
export type KeySlot = z.output<typeof keySlotSchema>;

/** The header as it is kept: the first bytes of the drive (LUKS2 header and key slots), gzip. */
export const HEADER_MAX_BYTES = 4 * 1024 * 1024;
export const HEADER_PAGE_BYTES = 256 * 1024;

const byId = z.strictObject({ driveId: driveIdSchema });

export const driveKeyMethods = {
  driveKeyList: defineMethod({
    name: 'drive.keyList',
    summary: 'The key slots of a drive',
    right: 'drives',
    changes: false,
    params: byId,
    result: z.object({ slots: z.array(keySlotSchema) }),
    progress: false,
  }),
  driveKeyCheck: defineMethod({
    name: 'drive.keyCheck',
    summary: 'Which key slot a key or passphrase opens; changes nothing',
    right: 'drives',
    changes: false,
    params: byId.extend({ unlock: driveUnlockSchema }),
    result: z.object({ slot: z.number().int() }),
    progress: false,
  }),
  driveKeyAdd: defineMethod({
    name: 'drive.keyAdd',
    summary: 'Let one more key or passphrase open the drive. One that opens it already is not added again',
    right: 'drives.full',
    changes: true,
    params: byId.extend({ unlock: driveUnlockSchema, add: driveUnlockSchema }),
    result: z.object({ slot: z.number().int() }),
    progress: false,
  }),
  driveKeyRemove: defineMethod({
    name: 'drive.keyRemove',
    summary: 'Empty a key slot. What unlocks must open another one: the last way in is never removed',
    right: 'drives.full',
    changes: true,
    params: byId.extend({ unlock: driveUnlockSchema, slot: z.number().int().min(0).max(31) }),
    result: z.object({}),
    progress: false,
  }),
  driveReencrypt: defineMethod({
    name: 'drive.reencrypt',
    summary:
      'Encrypt all of the drive anew, with a new volume key. People go on working; what is stopped goes on when asked again',
    right: 'drives.full',
    changes: true,
    params: byId.extend({ key: driveKeySchema }),
    /** paused: it was cancelled; asking again goes on where it stopped. Keys and data are as usable as before. Stopped before it began, the status names no re-encryption. */
    result: z.object({ state: z.enum(['done', 'paused']), status: driveStatusSchema }),
    progress: true,
  }),
  driveHeaderRead: defineMethod({
    name: 'drive.headerRead',
    summary: 'The LUKS header for a backup, page by page (gzip). It opens nothing without a key',
    right: 'drives.full',
    changes: false,
    params: byId.extend({ offset: z.number().int().min(0).default(0) }),
    result: z.object({
      data: base64Schema(0, HEADER_PAGE_BYTES),
      totalBytes: z.number().int().max(HEADER_MAX_BYTES),
      /** Of all pages together: another one on a later page means that the header changed meanwhile. */
      sha256: sha256HexSchema,
    }),
    progress: false,
  }),
  driveHeaderStage: defineMethod({
    name: 'drive.headerStage',
    summary: 'A page of a header that is to be restored; kept in memory for ten minutes',
    right: 'drives.full',
    changes: true,
    params: byId.extend({
      offset: z.number().int().min(0),
      data: base64Schema(1, HEADER_PAGE_BYTES),
      totalBytes: z.number().int().min(1).max(HEADER_MAX_BYTES),
      sha256: sha256HexSchema,
    }),
    result: z.object({ missing: z.number().int() }),
    progress: false,
  }),
  driveHeaderRestore: defineMethod({
    name: 'drive.headerRestore',
    summary: 'Write a staged header to a closed drive, once the key has shown that it fits header and data',
    right: 'drives.full',
    changes: true,
    params: byId.extend({ key: driveKeySchema, sha256: sha256HexSchema, confirm: driveIdSchema }),
    result: driveStatusSchema,
    progress: false,
  }),
};
