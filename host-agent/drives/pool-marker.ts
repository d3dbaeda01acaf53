/**
 * Which folder is this? A pool has a marker file with a random id, and the agent remembers the id: so an empty folder on
 * which nothing is mounted, or another file system, is told from the pool. Hosts that share a folder read the same id.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { readIfThere, writeAtomic, writeOnce } from '../../shared/files.ts';
import { parseJson } from '../../shared/validate.ts';
import { type Host, overlayPath } from '../host.ts';
import { allocatedBytes, poolSpace } from './pool.ts';

export const POOLS = ['images', 'drives', 'snapshots', 'isos'] as const;
export type PoolName = (typeof POOLS)[number];

export const MARKER = '.vmc-pool';
const idSchema = z.string().regex(/^pool-[0-9a-f]{16}$/);
const knownSchema = z.partialRecord(z.enum(POOLS), z.strictObject({ folder: z.string(), id: idSchema }));

/** Pools that only people fill may be read-only: no marker is made there unasked. */
const MARKED_UNASKED: ReadonlySet<PoolName> = new Set(['drives', 'snapshots']);

export interface Pool {
  name: PoolName;
  folder: string;
  /** Absent: it has no marker. */
  id?: string;
}

/** The configured pools, in the order of POOLS. */
export const poolFolders = ({ config }: Host): { name: PoolName; folder: string }[] =>
  POOLS.flatMap((name) => {
    const folder = config.pools[name];
    return folder === undefined ? [] : [{ name, folder }];
  });

/**
 * The pool, if its folder is the one it was. A new, empty one is marked.
 * @throws VmcError 'bad-config' when the pool is not configured or its folder is missing, 'wrong-state' when it is another one, or not mounted.
 */
export async function requirePool(host: Host, name: PoolName): Promise<Pool> {
  const folder = host.config.pools[name];
  if (folder === undefined)
    throw new VmcError('bad-config', `This host has no ${name} pool.`, `Set pools.${name} in host-agent.toml.`);
  await poolSpace(folder);
  const known = (await readKnown(host))[name];
  const found = await readMarker(folder);
  if (known?.folder !== folder) {
    if (found === undefined && !MARKED_UNASKED.has(name)) return { name, folder };
    return found === undefined ? markNew(host, name, folder) : remember(host, { name, folder, id: found });
  }
  if (found === known.id) return { name, folder, id: found };
  throw found === undefined
    ? new VmcError(
        'wrong-state',
        `${folder} is not the ${name} pool that was here: its marker (${MARKER}, ${known.id}) is missing.`,
        `Mount its file system. If this folder is to be the pool from now on: host-agent pool init ${name}`,
      )
    : new VmcError(
        'wrong-state',
        `${folder} is another pool (${found}) than the ${name} pool that was here (${known.id}).`,
        `Mount the right file system. If this one is to be the pool from now on: host-agent pool init ${name}`,
      );
}

/** Takes the folder as the pool, as it is now; makes a marker if it has none. @throws VmcError 'bad-config'. */
export async function initPool(host: Host, name: PoolName): Promise<Pool> {
  const folder = host.config.pools[name];
  if (folder === undefined)
    throw new VmcError('bad-config', `This host has no ${name} pool.`, `Set pools.${name} in host-agent.toml.`);
  await poolSpace(folder);
  return remember(host, { name, folder, id: (await readMarker(folder)) ?? (await writeMarker(folder)) });
}

export interface PoolReport extends Pool {
  sizeBytes: number;
  freeBytes: number;
  /** Why nothing may be made or removed there now. */
  problem?: { message: string; hint?: string | undefined };
}

/** Never fails because of a pool: that is what it then says. */
export async function listPools(host: Host): Promise<PoolReport[]> {
  return Promise.all(
    poolFolders(host).map(async ({ name, folder }) => {
      const none = { sizeBytes: 0, freeBytes: 0 };
      try {
        const pool = await requirePool(host, name);
        return { ...pool, ...(await poolSpace(folder)) };
      } catch (error) {
        if (!(error instanceof VmcError)) throw error;
        return { name, folder, ...none, problem: { message: error.message, hint: error.hint } };
      }
    }),
  );
}

/** Seen for the first time and without a marker. Where records speak of files, at least one of these must be there. */
async function markNew(host: Host, name: PoolName, folder: string): Promise<Pool> {
  if (name === 'drives') {
    const expected = [
      ...(await host.drives.list()).map((it) => join(folder, `${it.driveId}.${it.format}`)),
      ...(await host.vms.list()).map((it) => overlayPath(host, it.spec.vmId)),
    ];
    const there = await Promise.all(expected.map((path) => allocatedBytes(path)));
    if (expected.length > 0 && there.every((it) => it === undefined))
      throw new VmcError(
        'wrong-state',
        `None of this host's ${expected.length} disk files is in ${folder}.`,
        `Mount its file system. If they are lost and this is to be the pool from now on: host-agent pool init ${name}`,
      );
  }
  return remember(host, { name, folder, id: await writeMarker(folder) });
}

/** @throws VmcError 'bad-data' for a marker that is none. */
async function readMarker(folder: string): Promise<string | undefined> {
  const path = join(folder, MARKER);
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  const id = idSchema.safeParse(text.trim());
  if (!id.success) throw new VmcError('bad-data', `${path} does not hold a pool's id.`, 'Restore it, or remove it.');
  return id.data;
}

async function writeMarker(folder: string): Promise<string> {
  const id = `pool-${randomBytes(8).toString('hex')}`;
  await writeOnce(join(folder, MARKER), `${id}\n`, 0o644);
  return (await readMarker(folder)) ?? id; // of two hosts that mark it at once, one wins
}

const knownPath = (host: Host): string => join(host.config.stateDir, 'pools.json');

async function readKnown(host: Host): Promise<z.output<typeof knownSchema>> {
  const path = knownPath(host);
  const text = await readIfThere(path);
  return text === undefined ? {} : parseJson(knownSchema, text, path, 'Remove it: the markers are then read anew.');
}

function remember(host: Host, pool: Required<Pool>): Promise<Pool> {
  return host.locks.hold(['pools'], async () => {
    const { name, folder, id } = pool;
    await writeAtomic(knownPath(host), JSON.stringify({ ...(await readKnown(host)), [name]: { folder, id } }), 0o600);
    return pool;
  });
}
