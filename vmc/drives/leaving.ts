/**
 * A drive that was closed to be detached: until its disk has gone nobody here opens it, or the host would tear it away from
 * them. The mark counts for this disk alone (diskseq: the kernel gives each a number of its own), and for a minute.
 */
import { uptime } from 'node:os';
import { basename, join } from 'node:path';
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { makeFolder, readIfThere, writeAtomic } from '../../shared/files.ts';
import { diskIdSchema } from '../../shared/names.ts';
import { parseJson } from '../../shared/validate.ts';

export const LEAVING_SECONDS = 60;

/** `until`: seconds since the VM was started, which no clock changes. */
const leavingSchema = z.strictObject({ disk: z.string(), until: z.number() });

const pathOf = (folder: string, diskId: string) => join(folder, `${diskIdSchema.parse(diskId)}.leaving`);

/** @param folder gone after a boot. @param now in seconds, as the mark has it. */
export async function markLeaving(folder: string, driveId: string, device: string, now = uptime()): Promise<void> {
  await makeFolder(folder, 0o700);
  const mark = { disk: await diskOf(device), until: now + LEAVING_SECONDS };
  await writeAtomic(pathOf(folder, driveId), `${JSON.stringify(mark)}\n`, 0o600);
}

/** @throws VmcError 'busy'. */
export async function requireStaying(folder: string, driveId: string, device: string, now = uptime()): Promise<void> {
  const path = pathOf(folder, driveId);
  const text = await readIfThere(path);
  if (text === undefined) return;
  const { disk, until } = parseJson(leavingSchema, text, path, 'Delete that file.');
  if (now >= until || disk !== (await diskOf(device))) return;
  throw new VmcError(
    'busy',
    `The drive ${driveId} was closed to be detached: it is about to go.`,
    'Attach it again once it has gone. If it stays, it can be opened in a minute.',
  );
}

const diskOf = async (device: string) =>
  ((await readIfThere(`/sys/class/block/${basename(device)}/diskseq`)) ?? '').trim();
