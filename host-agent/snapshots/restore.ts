/** A new drive from a snapshot: all that it builds on is read and checked, then flattened. No snapshot is touched. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { DriveFile } from '../../shared/agent-api/index.ts';
import type { Snapshot, snapshotMethods } from '../../shared/agent-api/snapshots.ts';
import { VmcError } from '../../shared/errors.ts';
import { driveIdSchema } from '../../shared/names.ts';
import { makeDrive } from '../drives/make.ts';
import { poolSpace } from '../drives/pool.ts';
import { requirePool } from '../drives/pool-marker.ts';
import { reserveBytes } from '../drives/pool-space.ts';
import { copyImage, imageInfo, type Work } from '../drives/qemu-img.ts';
import { checkRealSpace, wholeFileBytes } from '../drives/space.ts';
import type { Host } from '../host.ts';
import { Records } from '../state/records.ts';
import { chainName } from './chain-file.ts';
import { requireChain, snapshotsLock, snapshotsPool } from './records.ts';
import { readChain } from './verify.ts';

export type RestoreRequest = z.output<typeof snapshotMethods.snapshotRestore.params>;

/** Restores for which files are fetched from a server. */
export const fetches = (host: Host) =>
  new Records(join(host.config.stateDir, 'restores-under-way'), z.strictObject({ driveId: driveIdSchema }));

/** Where they are until the drive is made. */
export const fetchFolder = (host: Host, driveId: string): string => join(snapshotsPool(host), `restore-${driveId}`);

/**
 * Repeating it after a crash makes it anew; a drive that came of this very snapshot is not made again.
 * @throws VmcError 'not-found', 'bad-data' (the snapshot is damaged), 'already-exists', 'no-space', 'cancelled'.
 */
export async function restoreSnapshot(host: Host, request: RestoreRequest, work: Work = {}): Promise<DriveFile> {
  const { snapshotId, newDriveId, format } = request;
  await requirePool(host, 'snapshots');
  const [first] = await requireChain(host, snapshotId);
  return host.locks.hold([snapshotsLock(first?.driveId ?? '')], async () => {
    const chain = await requireChain(host, snapshotId);
    const { sizeBytes } = chain.at(-1) as Snapshot;
    const total = chain.reduce((sum, it) => sum + it.storedBytes, 0);
    const claim = Math.min(total, wholeFileBytes(sizeBytes));
    const drive = { driveId: newDriveId, format, sizeBytes, restoredFrom: snapshotId };
    return makeDrive(host, drive, claim, work, (temporary) =>
      withFetchFolder(host, newDriveId, chain, async (folder) => {
        await host.step('snapshot.restore:read');
        const read = await readChain(host, chain, folder, work);
        if (!read.ok)
          throw new VmcError('bad-data', `Snapshot ${read.badId} is damaged: ${read.problem}`, 'Restore an older one.');
        await host.step('snapshot.restore:convert');
        const from = chainName(read.files);
        const copy = { from, to: temporary, fromFormat: 'qcow2', toFormat: format, allocation: 'sparse' } as const;
        await copyImage({ ...copy, sizeBytes }, work);
        if ((await imageInfo(temporary, format)).sizeBytes !== sizeBytes)
          throw new VmcError('command-failed', 'The restored drive is not of the size that the snapshot has.');
      }),
    );
  });
}

/** @param work gets undefined when all of the chain is here. */
async function withFetchFolder(
  host: Host,
  driveId: string,
  chain: readonly Snapshot[],
  work: (folder: string | undefined) => Promise<void>,
): Promise<void> {
  const remote = chain.filter((it) => it.target === 'sftp').reduce((sum, it) => sum + it.storedBytes, 0);
  if (remote === 0) return work(undefined);
  const pool = snapshotsPool(host);
  checkRealSpace(pool, remote, (await poolSpace(pool)).freeBytes, reserveBytes(host));
  const folder = fetchFolder(host, driveId);
  await fetches(host).put(driveId, { driveId });
  try {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { mode: 0o700 });
    await work(folder);
  } finally {
    await dropFetched(host, driveId);
  }
}

export async function dropFetched(host: Host, driveId: string): Promise<void> {
  await rm(fetchFolder(host, driveId), { recursive: true, force: true });
  await fetches(host).remove(driveId);
}
