/** The ISO images of a host: files NAME.iso in a pool of their own, which this agent only reads. */
import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type IsoFile, MAX_ISOS } from '../../shared/agent-api/isos.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { isoNameSchema } from '../../shared/names.ts';
import type { Host } from '../host.ts';

const ENDING = '.iso';

/** From the file's name with its ending: the same on every host, and short enough for a disk's serial. */
export const isoIdOf = (fileName: string): string =>
  `iso${createHash('sha256').update(fileName).digest('hex').slice(0, 16)}`;

/** By name. Empty on a host without a pool for them. Files with odd names and links that leave the pool are left out. */
export async function listIsos(host: Host): Promise<IsoFile[]> {
  const pool = host.config.pools.isos;
  if (pool === undefined) return [];
  const isos: IsoFile[] = [];
  for (const fileName of (await entries(pool)).map(({ name }) => name).sort()) {
    const iso = await inspect(pool, fileName);
    if (iso === undefined) continue;
    if (isos.length === MAX_ISOS)
      throw new VmcError('limit', `The pool ${pool} has more than ${MAX_ISOS} ISO images.`, 'Remove some of them.');
    isos.push(iso.iso);
  }
  return isos;
}

/** The file behind an id, every link followed. @throws VmcError 'not-found'. */
export async function requireIso(host: Host, isoId: string): Promise<string> {
  const pool = host.config.pools.isos;
  if (pool !== undefined)
    for (const { name } of await entries(pool)) {
      if (isoIdOf(name) !== isoId) continue;
      const file = (await inspect(pool, name))?.file;
      if (file !== undefined) return file;
    }
  throw new VmcError(
    'not-found',
    `This host has no ISO image ${isoId}.`,
    pool === undefined ? 'It has no pool for them: pools.isos in host-agent.toml.' : `Put it into ${pool} as NAME.iso.`,
  );
}

async function entries(pool: string): Promise<Dirent[]> {
  try {
    return await readdir(pool, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      throw new VmcError('bad-config', `There is no folder ${pool}.`, `Make it: mkdir -p ${pool}`);
    throw error;
  }
}

/** @returns undefined for what is no ISO image of the pool itself. */
async function inspect(pool: string, fileName: string): Promise<{ iso: IsoFile; file: string } | undefined> {
  const name = fileName.endsWith(ENDING) ? isoNameSchema.safeParse(basename(fileName, ENDING)) : undefined;
  if (name?.success !== true) return undefined;
  try {
    const file = await realpath(join(pool, fileName));
    const found = await stat(file);
    // A link may lead to another file of the pool, and to nothing else: QEMU would open it as root or its own user.
    if (dirname(file) !== (await realpath(pool)) || !found.isFile()) return undefined;
    return { iso: { isoId: isoIdOf(fileName), name: name.data, sizeBytes: found.size }, file };
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ELOOP')) return undefined; // removed just now, or a link to nowhere
    throw error;
  }
}
