/**
 * What this device was shown of each VM's audit log: the last record, and where it is. A log that lacks it was rolled back.
 * Kept in the person's folder, in audit-seen.json.
 */
import { join } from 'node:path';
import * as z from 'zod';
import { readIfThere, writeAtomic } from '../../shared/files.ts';
import { sha256HexSchema, vmIdSchema } from '../../shared/names.ts';
import { parseJson } from '../../shared/validate.ts';

const positionSchema = z.strictObject({ file: z.number().int().min(1), offset: z.number().int().min(0) });

const seenSchema = z.strictObject({
  /** The VM's public key then, in base64: a VM that was rebuilt has another log. */
  key: z.string(),
  log: z.string(),
  seq: z.number().int().min(1),
  hash: sha256HexSchema,
  start: positionSchema,
  end: positionSchema,
});
export type Seen = z.output<typeof seenSchema>;

const fileSchema = z.record(vmIdSchema, seenSchema);
const pathIn = (folder: string) => join(folder, 'audit-seen.json');

async function readAll(folder: string): Promise<Record<string, Seen>> {
  const text = await readIfThere(pathIn(folder));
  return text === undefined
    ? {}
    : parseJson(fileSchema, text, pathIn(folder), 'It is not ignored: restore it from a backup.');
}

export const readSeen = async (folder: string, vmId: string): Promise<Seen | undefined> =>
  (await readAll(folder))[vmId];

export async function writeSeen(folder: string, vmId: string, seen: Seen): Promise<void> {
  const all = { ...(await readAll(folder)), [vmId]: seen };
  await writeAtomic(pathIn(folder), `${JSON.stringify(all, undefined, 2)}\n`, 0o600);
}
