/** What this host is meant to have, one JSON file an object: what a crash leaves can be finished or removed from these. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import {
  driveAllocationSchema,
  driveFormatSchema,
  driveSizeSchema,
  vmSpecSchema,
} from '../../shared/agent-api/index.ts';
import { isErrno, makeFolder, readIfThere, writeAtomic } from '../../shared/files.ts';
import { driveIdSchema, ipv4Schema, portSchema, snapshotIdSchema } from '../../shared/names.ts';
import { parseJson } from '../../shared/validate.ts';

export const vmRecordSchema = z.strictObject({
  spec: vmSpecSchema,
  address: ipv4Schema,
  mac: z.string().regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/),
  hostPort: portSchema,
  /** Milliseconds since 1970. */
  createdAt: z.number().int(),
});
export type VmRecord = z.output<typeof vmRecordSchema>;

/** Bytes that the pool must keep free for it. */
const claim = { claimBytes: z.number().int().min(0).default(0) };
const pendingSchema = z.discriminatedUnion('what', [
  z.strictObject({ what: z.literal('create'), ...claim }),
  z.strictObject({ what: z.literal('resize'), sizeBytes: driveSizeSchema, ...claim }),
  /** The other format's file is to go once the record names this one; before, this one is. */
  z.strictObject({
    what: z.literal('convert'),
    format: driveFormatSchema,
    /** Fingerprint of the other file when the record was switched: written to since, it does not go. */
    old: z.string().optional(),
    ...claim,
  }),
  z.strictObject({ what: z.literal('delete') }),
]);

export const driveRecordSchema = z.strictObject({
  driveId: driveIdSchema,
  format: driveFormatSchema,
  sizeBytes: driveSizeSchema,
  allocation: driveAllocationSchema.default('sparse'),
  createdAt: z.number().int(),
  /** Of a drive that was made of a snapshot. */
  restoredFrom: snapshotIdSchema.optional(),
  /** Another host made the file, in a pool that both have. */
  adopted: z.literal(true).optional(),
  /** What has been begun and not been ended: whoever finds it finishes it or undoes it (settle.ts). */
  pending: pendingSchema.optional(),
});
export type DriveRecord = z.output<typeof driveRecordSchema>;

export class Records<S extends z.ZodType> {
  readonly #folder: string;
  readonly #schema: S;

  constructor(folder: string, schema: S) {
    this.#folder = folder;
    this.#schema = schema;
  }

  /** @throws VmcError 'bad-data' for a damaged file. */
  async get(id: string): Promise<z.output<S> | undefined> {
    const path = this.#path(id);
    const text = await readIfThere(path);
    return text === undefined
      ? undefined
      : parseJson(this.#schema, text, path, 'Restore it from a backup, or delete the object and make it again.');
  }

  async put(id: string, record: z.input<S>): Promise<void> {
    await makeFolder(this.#folder, 0o700);
    await writeAtomic(this.#path(id), `${JSON.stringify(record, undefined, 2)}\n`, 0o600);
  }

  async remove(id: string): Promise<void> {
    await rm(this.#path(id), { force: true });
  }

  async ids(): Promise<string[]> {
    try {
      const names = await readdir(this.#folder);
      return names
        .filter((name) => name.endsWith('.json'))
        .map((name) => name.slice(0, -'.json'.length))
        .sort();
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    }
  }

  async list(): Promise<z.output<S>[]> {
    const records = await Promise.all((await this.ids()).map((id) => this.get(id)));
    return records.filter((record) => record !== undefined);
  }

  #path(id: string): string {
    return join(this.#folder, `${id}.json`);
  }
}
