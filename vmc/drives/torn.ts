/** A drive whose disk the host took away while it was open: mapping and mounts stay here, and lead nowhere. */
import { lstat, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { DriveStatus } from '../../shared/api/drive.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { driveIdSchema } from '../../shared/names.ts';
import { runOnDevices } from './device-mapper.ts';
import { mappingNumber } from './mapping-node.ts';
import { mountsOf } from './mounts-of.ts';
import { mappingName } from './names.ts';
import type { Observed } from './observe.ts';

export type Torn = Pick<Observed, 'driveId' | 'mounts' | 'holders'>;

/** Ids of all drives that are mapped, sorted. */
export async function listMappedIds(): Promise<string[]> {
  const prefix = mappingName('');
  return (await listMapped())
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .filter((id) => driveIdSchema.safeParse(id).success)
    .sort();
}

async function listMapped(): Promise<string[]> {
  const nodes = await readdir('/dev/mapper').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return []; // nothing was ever mapped
    throw error;
  });
  const numbers = await Promise.all(nodes.map(mappingNumber));
  return nodes.filter((_name, at) => numbers[at] !== undefined);
}

/** @returns undefined unless it is open on a disk that has gone, whether or not its disk was attached anew since. */
export async function findTorn(driveId: string): Promise<Torn | undefined> {
  const number = await mappingNumber(mappingName(driveId));
  if (number === undefined || !(await liesOnNothing(join('/sys/dev/block', number)))) return undefined;
  const mounts = await mountsOf(await readFile('/proc/self/mountinfo', 'utf8'), [number]);
  return { driveId, mounts, holders: [mappingName(driveId)] };
}

/** A disk that goes leaves the link to it: the kernel gives its name to no other disk while a mapping is on it. */
async function liesOnNothing(block: string): Promise<boolean> {
  const below = await readdir(join(block, 'slaves')).catch(() => []); // a disk has none below it
  for (const name of below) {
    const link = join(block, 'slaves', name);
    if (await isThere(link)) {
      if (await liesOnNothing(link)) return true;
    } else if ((await lstat(link).catch(() => undefined)) !== undefined) return true;
  }
  return false;
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

const WHY = 'Its disk was taken away while it was open: what was not written to it by then is lost.';

export function tornStatus({ driveId, mounts }: Torn): DriveStatus {
  const [mounted] = mounts;
  const problem = `${WHY} Close it; then attach and open it again.`;
  if (mounted === undefined) return { driveId, state: 'open', problem };
  const { mountPoint, readOnly, fileSystem } = mounted;
  return { driveId, state: 'mounted', mountPoint, readOnly, fileSystem, problem };
}

/** What a cryptsetup leaves that was re-encrypting when the disk went (2.6.1 crashes then): it would be in the next one's way. */
export async function removeParts(driveId: string): Promise<void> {
  const parts = (await listMapped()).filter((name) => name.startsWith(`${mappingName(driveId)}-`));
  for (const name of parts)
    await runOnDevices({ file: 'dmsetup', args: ['remove', '--retry', name], timeoutMs: 60_000 });
}

/** @param cause what failed, as the disk went. @throws VmcError 'wrong-state'. */
export async function requireWhole(driveId: string, cause?: unknown): Promise<void> {
  if ((await findTorn(driveId)) === undefined) return;
  throw new VmcError(
    'wrong-state',
    `The drive ${driveId} cannot be used as it is. ${WHY}`,
    'Close it, attach it again, and open it.',
    cause === undefined ? {} : { cause },
  );
}
