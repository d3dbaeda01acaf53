/** raw to qcow2 and back. The old file goes only when the new one has been compared with it: it may be somebody's only copy. */
import type { DriveFile } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Host } from '../host.ts';
import type { DriveRecord } from '../state/records.ts';
import { requireAlone } from './alone.ts';
import { describeDrive, drivePath, requireDetached, requireDriveFile } from './drives.ts';
import { allocatedBytes, fingerprint, makeFile } from './pool.ts';
import { requirePool } from './pool-marker.ts';
import { beginWithSpace } from './pool-space.ts';
import { copyImage, type Format, requireUnused, sameContent, type Work } from './qemu-img.ts';
import { requireSettled, settle } from './settle.ts';
import { wholeFileBytes } from './space.ts';

/**
 * The record names the one file that counts, and changes in one step. Succeeds when it has that format already.
 * @throws VmcError 'busy' (attached, or in use elsewhere), 'no-space', 'already-exists' (a file by the new name), 'cancelled', 'bad-data' (the copy differs).
 */
export function convertDrive(host: Host, driveId: string, format: Format, work: Work = {}): Promise<DriveFile> {
  return host.locks.hold([driveId], async () => {
    await requirePool(host, 'drives');
    const record = await requireSettled(host, driveId);
    const allocated = await requireDriveFile(host, record);
    await requireDetached(host, record);
    if (record.format === format) return describeDrive(host, record, []);
    const from = drivePath(host, record);
    const to = drivePath(host, { driveId, format });
    await requireUnused(from);
    if ((await allocatedBytes(to)) !== undefined)
      throw new VmcError('already-exists', `${to} is there already.`, 'See what it is, and move it away.');
    const { sizeBytes } = await requireAlone(from, record.format);
    const claimBytes = wholeFileBytes(record.allocation === 'sparse' ? Math.min(allocated, sizeBytes) : sizeBytes);
    const begun: DriveRecord = { ...record, pending: { what: 'convert', format, claimBytes } };
    await beginWithSpace(host, begun);
    let latest = begun;
    try {
      await host.step('drive.convert:copy');
      const before = await fingerprint(from);
      await makeFile(to, async (temporary) => {
        const { allocation } = record;
        const copy = { from, to: temporary, fromFormat: record.format, toFormat: format, allocation, sizeBytes };
        await copyImage(copy, work);
        await host.step('drive.convert:compare');
        if (!(await sameContent(copy, 'compare', work)))
          throw new VmcError('bad-data', `The copy of drive ${driveId} differs from it. It is as it was.`);
        await host.step('drive.convert:publish');
      });
      // Another host could have opened it since.
      await requireUnused(from);
      if ((await fingerprint(from)) !== before)
        throw new VmcError('busy', `Drive ${driveId} was written to meanwhile. It is as it was.`, 'Try again.');
      if (work.signal?.aborted === true) throw new VmcError('cancelled', `Converting ${driveId} was cancelled.`);
      await host.step('drive.convert:record');
      const switched: DriveRecord = { ...begun, format, pending: { what: 'convert', format, claimBytes, old: before } };
      await host.drives.put(driveId, switched);
      latest = switched;
      await host.step('drive.convert:old');
    } catch (error) {
      // Where the record now stands decides which file goes. If that fails too, reconcile does it.
      await requireSettled(host, driveId).catch(() => {});
      throw error;
    }
    const done = await settle(host, latest);
    return describeDrive(host, done ?? latest, []);
  });
}
