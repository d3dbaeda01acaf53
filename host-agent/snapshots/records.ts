/** The snapshots of this host: a folder a drive in the snapshots pool, a JSON file a snapshot, its data beside it. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { type Snapshot, snapshotSchema } from '../../shared/agent-api/snapshots.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { driveIdSchema, snapshotIdSchema, vmIdSchema } from '../../shared/names.ts';
import { requirePool } from '../drives/pool-marker.ts';
import type { Host } from '../host.ts';
import { Records } from '../state/records.ts';
import { chainOf } from './plan-snapshot.ts';

export const MAX_SNAPSHOTS = 10_000;

/** Written before a snapshot is begun or deleted, and removed last: whoever finds one knows what may be left. */
export const undertakingSchema = z.strictObject({
  doing: z.enum(['making', 'deleting']),
  snapshotId: snapshotIdSchema,
  driveId: driveIdSchema,
  target: snapshotSchema.shape.target,
  /** Something of it may be on the server. */
  sending: z.literal(true).optional(),
  /** In which the job runs. */
  domain: vmIdSchema.optional(),
});
export type Undertaking = z.output<typeof undertakingSchema>;

export const undertakings = (host: Host): Records<typeof undertakingSchema> =>
  new Records(join(host.config.stateDir, 'snapshots-under-way'), undertakingSchema);

/** Of the one who copies a drive that nobody writes to. */
export const copySocket = (host: Host, driveId: string): string => join(host.config.stateDir, 'tmp', `qmp-${driveId}`);

/** Held while snapshots of a drive are made, deleted or read for a restore. */
export const snapshotsLock = (driveId: string): string => `snapshots-${driveId}`;

/** Held while snapshots of a drive are verified or deleted. New ones can be made meanwhile. */
export const snapshotReadLock = (driveId: string): string => `snapshots-read-${driveId}`;

/** @throws VmcError 'bad-config' on a host that has no pool for them. */
export function snapshotsPool(host: Host): string {
  const { snapshots } = host.config.pools;
  if (snapshots === undefined)
    throw new VmcError(
      'bad-config',
      'This host has no pool for snapshots.',
      'Set pools.snapshots in host-agent.toml; for snapshots to an SFTP server too, which are gathered there first.',
    );
  return snapshots;
}

export const snapshotFolder = (host: Host, driveId: string): string => join(snapshotsPool(host), driveId);

/** Under this name it is whole. */
export const snapshotPath = (host: Host, it: Pick<Snapshot, 'driveId' | 'snapshotId'>): string =>
  join(snapshotFolder(host, it.driveId), `${it.snapshotId}.qcow2`);

/** Under this one it is being made, or waits to be sent. */
export const partialPath = (host: Host, it: Pick<Snapshot, 'driveId' | 'snapshotId'>): string =>
  join(snapshotFolder(host, it.driveId), `${it.snapshotId}.partial`);

export const snapshotRecords = (host: Host, driveId: string): Records<typeof snapshotSchema> =>
  new Records(snapshotFolder(host, driveId), snapshotSchema);

/** QEMU, which is not root on most hosts, opens its file by name; nobody else may look at what is there. */
export async function makeSnapshotFolder(host: Host, driveId: string): Promise<void> {
  try {
    await mkdir(snapshotFolder(host, driveId), { mode: 0o711 });
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      throw new VmcError(
        'bad-config',
        `There is no folder ${snapshotsPool(host)}.`,
        `Make it: mkdir -p ${snapshotsPool(host)}`,
      );
    if (!isErrno(error, 'EEXIST')) throw error;
  }
}

/** Of one drive or of all, oldest first. @throws VmcError 'bad-data' that names a damaged record. */
export async function listSnapshots(host: Host, driveId?: string): Promise<Snapshot[]> {
  await requirePool(host, 'snapshots');
  const drives = driveId === undefined ? await drivesWithSnapshots(host) : [driveId];
  const found: Snapshot[] = [];
  for (const drive of drives) found.push(...(await snapshotRecords(host, drive).list()));
  return found.sort((a, b) => a.takenAt - b.takenAt || (a.snapshotId < b.snapshotId ? -1 : 1));
}

async function drivesWithSnapshots(host: Host): Promise<string[]> {
  try {
    return (await readdir(snapshotsPool(host))).filter((name) => driveIdSchema.safeParse(name).success);
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      throw new VmcError('bad-config', `There is no folder ${snapshotsPool(host)}.`, 'Is its file system mounted?');
    throw error;
  }
}

/** @returns undefined when there is none of that id. */
export async function findSnapshot(host: Host, snapshotId: string): Promise<Snapshot | undefined> {
  for (const driveId of await drivesWithSnapshots(host)) {
    const found = await snapshotRecords(host, driveId).get(snapshotId);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** @throws VmcError 'not-found'. */
export async function requireSnapshot(host: Host, snapshotId: string): Promise<Snapshot> {
  const found = await findSnapshot(host, snapshotId);
  if (found !== undefined) return found;
  throw new VmcError(
    'not-found',
    `This host has no snapshot ${snapshotId}.`,
    '`host-agent snapshot list` shows those it has.',
  );
}

/** The full one first. @throws VmcError 'not-found', 'bad-data' when one that it builds on is missing. */
export async function requireChain(host: Host, snapshotId: string): Promise<Snapshot[]> {
  const { driveId } = await requireSnapshot(host, snapshotId);
  return chainOf(await listSnapshots(host, driveId), snapshotId);
}
