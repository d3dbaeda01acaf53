/** What a crash left of snapshots: ended if it can be, told if it cannot. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errorMessage, VmcError } from '../../shared/errors.ts';
import { driveIdSchema, snapshotIdSchema } from '../../shared/names.ts';
import type { Host } from '../host.ts';
import type { Finding } from '../reconcile.ts';
import {
  listSnapshots,
  snapshotReadLock,
  snapshotsLock,
  snapshotsPool,
  type Undertaking,
  undertakings,
} from './records.ts';
import { dropFetched, fetches, fetchFolder } from './restore.ts';
import { backupLock, settle } from './settle.ts';

const words = (it: Undertaking): string =>
  it.doing === 'making' ? `snapshot ${it.snapshotId}, which was cut short` : `deleting snapshot ${it.snapshotId}`;

export async function reconcileSnapshots(host: Host, dryRun: boolean): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const it of await undertakings(host).list()) {
    if (await isBusy(host, it.driveId)) continue;
    try {
      if (!dryRun) await settleOne(host, it.snapshotId, it.driveId);
      findings.push({ outcome: 'repaired', what: `ended ${words(it)}` });
    } catch (error) {
      findings.push({
        outcome: 'reported',
        what: `${words(it)}, cannot be ended: ${errorMessage(error)}`,
        hint: (error instanceof VmcError ? error.hint : undefined) ?? 'host-agent reconcile',
      });
    }
  }
  findings.push(...(await fetched(host, dryRun)));
  findings.push(...(await withoutRecord(host, snapshotsPool(host))));
  return findings;
}

async function isBusy(host: Host, driveId: string): Promise<boolean> {
  for (const lock of [driveId, snapshotsLock(driveId), snapshotReadLock(driveId)])
    if (await host.locks.isHeld(lock)) return true;
  return false;
}

async function settleOne(host: Host, snapshotId: string, driveId: string): Promise<void> {
  await host.locks.hold([driveId, snapshotsLock(driveId), snapshotReadLock(driveId)], async () => {
    const it = await undertakings(host).get(snapshotId);
    if (it !== undefined)
      await host.locks.hold(it.domain === undefined ? [] : [backupLock(it.domain)], () => settle(host, it));
  });
}

/** Copies from a server, of a restore that is no more. */
async function fetched(host: Host, dryRun: boolean): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { driveId } of await fetches(host).list()) {
    if (await host.locks.isHeld(driveId)) continue;
    if (!dryRun) await dropFetched(host, driveId);
    findings.push({ outcome: 'repaired', what: `unfinished restore ${fetchFolder(host, driveId)}` });
  }
  return findings;
}

/** Data whose record is gone is data all the same: a person decides. */
async function withoutRecord(host: Host, pool: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const driveId of await entries(pool)) {
    if (!driveIdSchema.safeParse(driveId).success || (await host.locks.isHeld(snapshotsLock(driveId)))) continue;
    const known = new Set((await listSnapshots(host, driveId)).map((it) => it.snapshotId));
    const underWay = new Set(await undertakings(host).ids());
    for (const name of await entries(join(pool, driveId))) {
      const id = snapshotIdSchema.safeParse(/^(.*)\.qcow2$/.exec(name)?.[1]);
      if (id.success && !known.has(id.data) && !underWay.has(id.data))
        findings.push({
          outcome: 'reported',
          what: `${join(pool, driveId, name)} belongs to no snapshot that this agent knows`,
          hint: 'Move it away if nobody needs it.',
        });
    }
  }
  return findings;
}

async function entries(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}
