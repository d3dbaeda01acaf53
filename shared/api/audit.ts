/** The audit log of the VM, for who may read it. docs/audit.md has its bytes. */
import * as z from 'zod';
import { base64Schema, sha256HexSchema } from '../names.ts';
import { defineMethod } from './define.ts';

/** Bytes of the log in one answer. */
export const AUDIT_PAGE_BYTES = 256 * 1024;

const positionSchema = z.strictObject({
  /** The number of a file of the log. */
  file: z.number().int().min(1).max(1_000_000_000),
  offset: z.number().int().min(0),
});

export const auditMethods = {
  auditHead: defineMethod({
    name: 'audit.head',
    summary: 'The last record of the audit log, and the oldest file that is kept',
    right: 'audit',
    changes: false,
    params: z.strictObject({}),
    result: z.object({
      log: z.string().regex(/^[0-9a-f]{32}$/),
      seq: z.number().int().min(0),
      hash: sha256HexSchema,
      oldestFile: z.number().int().min(1),
    }),
    progress: false,
  }),
  auditRead: defineMethod({
    name: 'audit.read',
    summary: 'A page of the audit log, as it is stored',
    right: 'audit',
    changes: false,
    params: positionSchema,
    result: z.object({
      data: base64Schema(0, AUDIT_PAGE_BYTES),
      /** Where the next page begins; nothing more is there yet when `data` is empty. */
      next: positionSchema,
    }),
    progress: false,
  }),
};
