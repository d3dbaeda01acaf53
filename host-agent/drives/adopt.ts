/** Drives that another host made, in a pool that both have. Which of them may write is decided by the file's own lock. */
import type { DriveFile } from '../../shared/agent-api/index.ts';
import { driveSizeSchema } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Host } from '../host.ts';
import type { DriveRecord } from '../state/records.ts';
import { requireAlone } from './alone.ts';
import { describeDrive, drivePath } from './drives.ts';
import { allocatedBytes } from './pool.ts';
import { requirePool } from './pool-marker.ts';
import type { Format } from './qemu-img.ts';
import { settled } from './settle.ts';

/** What is said of a file: its format is never guessed, for a guest could have written what a raw file looks like. */
export interface Told {
  format: Format;
  /** It must be as large. */
  sizeBytes?: number | undefined;
}

/** @throws VmcError as `adoptLocked`. */
export function adoptDrive(host: Host, driveId: string, told: Told): Promise<DriveFile> {
  return host.locks.hold([driveId], async () => describeDrive(host, await adoptLocked(host, driveId, told), []));
}

/**
 * The record of a drive that is there as told; a record of ours that another host's work has made stale is renewed.
 * @throws VmcError 'not-found' (no such file), 'bad-data' (it is not as told, or leads to other files), 'wrong-state' (pool).
 */
export async function adoptLocked(host: Host, driveId: string, told: Told): Promise<DriveRecord> {
  await requirePool(host, 'drives');
  const known = await settled(host, driveId);
  const record = known !== undefined && (await hasFile(host, known)) ? known : undefined;
  if (record !== undefined && record.format !== told.format)
    throw new VmcError('bad-data', `Drive ${driveId} is ${record.format} here, not ${told.format}.`);
  const path = drivePath(host, { driveId, format: told.format });
  if (record === undefined && (await allocatedBytes(path)) === undefined)
    throw new VmcError(
      'not-found',
      `There is no file ${path}.`,
      'Only a drive in a pool that both hosts have can be taken over: compare `host-agent pool list` on both.',
    );
  const info = await requireAlone(path, told.format);
  const size = driveSizeSchema.safeParse(info.sizeBytes);
  if (!size.success || (told.sizeBytes !== undefined && told.sizeBytes !== size.data))
    throw new VmcError('bad-data', `${path} has ${info.sizeBytes} bytes, not ${told.sizeBytes ?? 'whole MiB'}.`);
  if (record?.sizeBytes === size.data) return record;
  const renewed: DriveRecord =
    record === undefined
      ? {
          driveId,
          format: told.format,
          sizeBytes: size.data,
          allocation: 'sparse',
          createdAt: host.now(),
          adopted: true,
        }
      : { ...record, sizeBytes: size.data };
  await host.drives.put(driveId, renewed);
  return renewed;
}

const hasFile = async (host: Host, record: DriveRecord): Promise<boolean> =>
  (await allocatedBytes(drivePath(host, record))) !== undefined;
