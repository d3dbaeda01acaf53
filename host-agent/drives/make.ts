/** New drives: blank, or filled by whoever asks for one. */
import type { DriveFile } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Host } from '../host.ts';
import type { DriveRecord } from '../state/records.ts';
import { describeDrive, drivePath, requireDriveFile } from './drives.ts';
import { allocatedBytes, makeFile } from './pool.ts';
import { requirePool } from './pool-marker.ts';
import { beginWithSpace } from './pool-space.ts';
import { createImage, type Format, type Work } from './qemu-img.ts';
import { settle, settled } from './settle.ts';
import { wholeFileBytes } from './space.ts';
import type { Allocation } from './tuning.ts';

export interface DriveRequest {
  driveId: string;
  format: Format;
  sizeBytes: number;
  allocation?: Allocation;
  /** The snapshot that it is made of. */
  restoredFrom?: string;
}

const LOOK_MS = 500;

/**
 * Blank. Repeating it with the same size and format succeeds, also after a crash in the middle; failed or cancelled it
 * leaves nothing. @throws VmcError 'no-space', 'already-exists' (of another size or format), 'wrong-state' (pool), 'cancelled'.
 */
export function createDrive(host: Host, request: DriveRequest, work: Work = {}): Promise<DriveFile> {
  const { format, sizeBytes, allocation = 'sparse' } = request;
  const claimBytes = allocation === 'sparse' ? 0 : wholeFileBytes(sizeBytes);
  return makeDrive(host, request, claimBytes, work, async (temporary) => {
    const stop = watchGrowth(temporary, sizeBytes, work);
    try {
      await createImage(temporary, format, sizeBytes, allocation, work);
    } finally {
      stop();
    }
  });
}

/**
 * A drive whose file `fill` writes, under a name that is not yet its own.
 * @param claimBytes that it takes for certain; 0 for a sparse one, which may grow.
 */
export function makeDrive(
  host: Host,
  request: DriveRequest,
  claimBytes: number,
  work: Work,
  fill: (temporary: string) => Promise<void>,
): Promise<DriveFile> {
  const { driveId, format, sizeBytes, allocation = 'sparse', restoredFrom } = request;
  return host.locks.hold([driveId], async () => {
    await requirePool(host, 'drives');
    const existing = await settled(host, driveId);
    if (existing !== undefined) {
      if (existing.format !== format || existing.sizeBytes !== sizeBytes || existing.allocation !== allocation)
        throw new VmcError('already-exists', `Drive ${driveId} is there already, of another size or format.`);
      if (existing.restoredFrom !== restoredFrom)
        throw new VmcError('already-exists', `Drive ${driveId} is there already, made of something else.`);
      await requireDriveFile(host, existing);
      return describeDrive(host, existing, []);
    }
    const origin = restoredFrom === undefined ? {} : { restoredFrom };
    const begun: DriveRecord = { driveId, format, sizeBytes, allocation, createdAt: host.now(), ...origin };
    const path = drivePath(host, begun);
    if ((await allocatedBytes(path)) !== undefined)
      throw new VmcError(
        'already-exists',
        `${path} is there, but this agent has not made it.`,
        `If another host made it: host-agent drive adopt ${driveId} --format ${format} --confirm ${driveId}. Otherwise move it away.`,
      );
    // The record comes first: a file without one could be anyone's.
    const pending = { ...begun, pending: { what: 'create' as const, claimBytes } };
    await beginWithSpace(host, pending);
    try {
      await host.step('drive.create:file');
      await makeFile(path, async (temporary) => {
        await fill(temporary);
        if (work.signal?.aborted === true) throw new VmcError('cancelled', `Making ${driveId} was cancelled.`);
        await host.step('drive.create:publish');
      });
      await host.step('drive.create:record');
      await host.drives.put(driveId, begun);
    } catch (error) {
      await settle(host, pending).catch(() => {}); // if that fails too, reconcile does it
      throw error;
    }
    return describeDrive(host, begun, []);
  });
}

/** qemu-img does not say how far it is when it makes a file: its blocks do. */
function watchGrowth(path: string, totalBytes: number, { progress }: Work): () => void {
  if (progress === undefined) return () => {};
  const timer = setInterval(async () => {
    const done = await allocatedBytes(path).catch(() => undefined);
    if (done !== undefined)
      progress({ step: 'fill', done: Math.min(done, totalBytes), total: totalBytes, unit: 'bytes' });
  }, LOOK_MS);
  return () => clearInterval(timer);
}
