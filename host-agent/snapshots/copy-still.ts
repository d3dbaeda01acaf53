/** A copy of a drive that nobody writes to. QEMU's own lock on the file holds writers off while it lasts. */
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import type { Progress } from '../../shared/rpc/method.ts';
import { createImage } from '../drives/qemu-img.ts';
import { withStorageDaemon } from './storage-daemon.ts';

const LOOK_MS = 1000;

const jobsSchema = z.array(
  z.object({
    id: z.string(),
    status: z.string(),
    'current-progress': z.number(),
    'total-progress': z.number(),
    error: z.string().optional(),
  }),
);

export interface StillCopy {
  path: string;
  format: 'qcow2' | 'raw';
  sizeBytes: number;
  /** Does not exist yet. */
  file: string;
  /** Only what this bitmap of the file marks; undefined: all of it. */
  parentId: string | undefined;
  /** Where QEMU is spoken to. */
  socket: string;
  progress(progress: Pick<Progress, 'done' | 'total'>): void;
  signal: AbortSignal | undefined;
}

const file = (filename: string) => ({ driver: 'file', filename, discard: 'unmap' });

/** @throws VmcError 'cancelled', 'command-failed' (also when somebody has the file open for writing). */
export async function copyStill(copy: StillCopy): Promise<void> {
  await createImage(copy.file, 'qcow2', copy.sizeBytes);
  const blockdevs = [
    { driver: copy.format, 'node-name': 'source', 'read-only': true, file: file(copy.path) },
    { driver: 'qcow2', 'node-name': 'target', discard: 'unmap', file: file(copy.file) },
  ];
  await withStorageDaemon({ socket: copy.socket, blockdevs, signal: copy.signal }, async (daemon) => {
    const isIt = (data: Readonly<Record<string, unknown>>) => data.id === 'copy' && data.status === 'concluded';
    await daemon.execute('blockdev-backup', {
      'job-id': 'copy',
      device: 'source',
      target: 'target',
      'auto-dismiss': false, // or nobody would learn how it ended
      ...(copy.parentId === undefined
        ? { sync: 'full' }
        : { sync: 'bitmap', bitmap: copy.parentId, 'bitmap-mode': 'never' }),
    });
    for (;;) {
      // Listening before looking: no end can fall between.
      const concluded = daemon.nextEvent('JOB_STATUS_CHANGE', isIt, LOOK_MS);
      const job = jobsSchema.parse(await daemon.execute('query-jobs')).find((it) => it.id === 'copy');
      if (job === undefined) throw new VmcError('command-failed', 'QEMU lost the copy.');
      copy.progress({ done: job['current-progress'], total: job['total-progress'] });
      if (job.status === 'concluded') {
        if (job.error !== undefined) throw new VmcError('command-failed', `The copy failed: ${job.error}.`);
        break;
      }
      await concluded;
    }
    await daemon.execute('job-dismiss', { id: 'copy' });
    await daemon.execute('blockdev-del', { 'node-name': 'target' }); // writes out what it still has in memory
  });
}
