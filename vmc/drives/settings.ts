/** What people have chosen for a drive in this VM. A drive without a file has what is usual. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { makeFolder, readIfThere, syncFolder, writeAtomic } from '../../shared/files.ts';
import { driveIdSchema } from '../../shared/names.ts';
import { parseJson } from '../../shared/validate.ts';
import { before } from './fault-points.ts';

const settingsSchema = z.strictObject({ version: z.literal(1), weeklyTrim: z.boolean() });
export type DriveSettings = Omit<z.output<typeof settingsSchema>, 'version'>;

const USUAL: DriveSettings = { weeklyTrim: true };
const MOST_FILES = 4096;

const folderOf = (stateDir: string) => join(stateDir, 'drives');
const pathOf = (stateDir: string, driveId: string) => join(folderOf(stateDir), `${driveIdSchema.parse(driveId)}.json`);

export async function readSettings(stateDir: string, driveId: string): Promise<DriveSettings> {
  const path = pathOf(stateDir, driveId);
  const text = await readIfThere(path);
  if (text === undefined) return USUAL;
  const { weeklyTrim } = parseJson(settingsSchema, text, path, `Remove it: the weekly trim is on then.`);
  return { weeklyTrim };
}

/** Within the drive's turn. @throws VmcError 'limit' when too many drives have settings of their own. */
export async function writeSettings(stateDir: string, driveId: string, settings: DriveSettings): Promise<void> {
  const folder = folderOf(stateDir);
  await makeFolder(folder, 0o700);
  await before('drive.settings:write');
  if (settings.weeklyTrim === USUAL.weeklyTrim) {
    await rm(pathOf(stateDir, driveId), { force: true });
    return syncFolder(folder);
  }
  if ((await readdir(folder)).length >= MOST_FILES)
    throw new VmcError('limit', `${MOST_FILES} drives have settings of their own here.`, `Look into ${folder}.`);
  await writeAtomic(pathOf(stateDir, driveId), `${JSON.stringify({ version: 1, ...settings })}\n`, 0o600);
}
