/**
 * Which drives are frozen. The kernel does not tell, so a file says it, written before and removed after. It lies in
 * memory (/run), as the freeze itself does.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { makeFolder, readIfThere, writeAtomic } from '../../shared/files.ts';
import { driveIdSchema } from '../../shared/names.ts';
import { parseJson } from '../../shared/validate.ts';

const frozenSchema = z.strictObject({
  mountPoint: z.string(),
  /** Unix time in milliseconds. */
  until: z.number().int(),
});
export type Frozen = z.output<typeof frozenSchema>;

const SUFFIX = '.frozen';
const pathOf = (folder: string, driveId: string) => join(folder, `${driveIdSchema.parse(driveId)}${SUFFIX}`);

export async function readFrozen(folder: string, driveId: string): Promise<Frozen | undefined> {
  const path = pathOf(folder, driveId);
  const text = await readIfThere(path);
  return text === undefined ? undefined : parseJson(frozenSchema, text, path, `Run: vmc drive thaw ${driveId}`);
}

export async function writeFrozen(folder: string, driveId: string, frozen: Frozen): Promise<void> {
  await makeFolder(folder, 0o700);
  await writeAtomic(pathOf(folder, driveId), `${JSON.stringify(frozen)}\n`, 0o600);
}

export const removeFrozen = (folder: string, driveId: string): Promise<void> =>
  rm(pathOf(folder, driveId), { force: true });

/** Ids of the drives that are marked, sorted. */
export async function listFrozen(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => name.slice(0, -SUFFIX.length))
    .filter((id) => driveIdSchema.safeParse(id).success)
    .sort();
}
