/** Is there room in a pool, for what is asked and for what has been begun? */
import type { Host } from '../host.ts';
import type { DriveRecord } from '../state/records.ts';
import { drivePath } from './drives.ts';
import { allocatedBytes, poolSpace, temporaryFiles } from './pool.ts';
import { checkRealSpace, checkSpace } from './space.ts';

/** @throws VmcError 'no-space' when the pool should not take a sparse file of `bytes` more. */
export async function checkPoolSpace(host: Host, bytes: number): Promise<void> {
  const { drives, overcommit } = host.config.pools;
  checkSpace(drives, bytes, await unclaimedBytes(host), { reserve: reserveBytes(host), overcommit });
}

export const reserveBytes = (host: Host): number => host.config.pools.reserveMiB * 1024 * 1024;

/**
 * Writes down what is begun, with the space it claims, if there is that much: of several at once, each counts the others.
 * @throws VmcError 'no-space'.
 */
export function beginWithSpace(host: Host, record: DriveRecord): Promise<void> {
  return host.locks.hold(['drives-space'], async () => {
    const { pending } = record;
    const claim = pending === undefined || pending.what === 'delete' ? 0 : pending.claimBytes;
    if (claim > 0) checkRealSpace(host.config.pools.drives, claim, await unclaimedBytes(host), reserveBytes(host));
    else if (pending?.what === 'create') await checkPoolSpace(host, record.sizeBytes);
    await host.drives.put(record.driveId, record);
  });
}

/** Free, less what other work has claimed and not taken yet. */
async function unclaimedBytes(host: Host): Promise<number> {
  const { drives } = host.config.pools;
  const { freeBytes } = await poolSpace(drives);
  const taken = new Map<string, number>();
  for (const { path, object } of await temporaryFiles(drives))
    taken.set(object, (taken.get(object) ?? 0) + ((await allocatedBytes(path)) ?? 0));
  let claimed = 0;
  for (const record of await host.drives.list()) {
    const { pending, driveId } = record;
    if (pending === undefined || pending.what === 'delete' || pending.claimBytes === 0) continue;
    const grown = pending.what === 'create' ? ((await allocatedBytes(drivePath(host, record))) ?? 0) : 0;
    claimed += Math.max(0, pending.claimBytes - (taken.get(driveId) ?? 0) - grown);
  }
  return Math.max(0, freeBytes - claimed);
}
