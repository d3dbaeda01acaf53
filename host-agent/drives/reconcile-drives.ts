/** Drives whose change was cut short are finished or undone; a file that is missing is reported, never forgotten. */
import { VmcError } from '../../shared/errors.ts';
import { type Domain, holdersOf } from '../domains/inventory.ts';
import type { Host } from '../host.ts';
import type { Finding } from '../reconcile.ts';
import type { DriveRecord } from '../state/records.ts';
import { drivePath } from './drives.ts';
import { allocatedBytes } from './pool.ts';
import { settled } from './settle.ts';

/** The caller has seen that the pool is the one it was. */
export async function reconcileDrives(host: Host, domains: readonly Domain[], dryRun: boolean): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const driveId of await host.drives.ids()) {
    if (!(await needsCare(host, driveId)) || (await host.locks.isHeld(driveId))) continue;
    const finding = await host.locks.hold([driveId], () => reconcileDrive(host, domains, driveId, dryRun));
    if (finding !== undefined) findings.push(finding);
  }
  return findings;
}

async function needsCare(host: Host, driveId: string): Promise<boolean> {
  const record = await host.drives.get(driveId);
  if (record === undefined) return false;
  return record.pending !== undefined || (await allocatedBytes(drivePath(host, record))) === undefined;
}

/** Looked at again under its lock. */
async function reconcileDrive(
  host: Host,
  domains: readonly Domain[],
  driveId: string,
  dryRun: boolean,
): Promise<Finding | undefined> {
  const record = await host.drives.get(driveId);
  if (record === undefined) return undefined;
  if (record.pending !== undefined) return settleAndSay(host, record, dryRun);
  const path = drivePath(host, record);
  if ((await allocatedBytes(path)) !== undefined) return undefined;
  if (record.adopted === true && holdersOf(domains, driveId, path).length === 0) {
    if (!dryRun) await host.drives.remove(driveId);
    return { outcome: 'repaired', what: `drive ${driveId} of another host is gone` };
  }
  return {
    outcome: 'reported',
    what: `the file of drive ${driveId} is missing: ${path}`,
    hint: `Restore it; or, if it is lost: host-agent drive delete ${driveId} --confirm ${driveId}`,
  };
}

const CUT_SHORT = { create: 'making', delete: 'deleting', resize: 'growing', convert: 'converting' } as const;

async function settleAndSay(host: Host, record: DriveRecord, dryRun: boolean): Promise<Finding | undefined> {
  const { driveId, pending } = record;
  if (pending === undefined) return undefined;
  const what = `${CUT_SHORT[pending.what]} drive ${driveId} was cut short`;
  if (dryRun) return { outcome: 'repaired', what };
  try {
    const after = await settled(host, driveId);
    const now = after === undefined ? 'there is none' : `it is ${after.format}, ${after.sizeBytes} bytes`;
    return { outcome: 'repaired', what: `${what}: now ${now}` };
  } catch (error) {
    if (!(error instanceof VmcError)) throw error;
    return { outcome: 'reported', what: `${what}: ${error.message}`, hint: error.hint ?? 'host-agent doctor' };
  }
}
