/**
 * Brings what was begun to an end: a snapshot whose record is there stays, of any other nothing does. It runs after every
 * snapshot, whether that went well or not, and again, from what was written down before, when the agent ended in between.
 */
import { rm } from 'node:fs/promises';
import { errorMessage, VmcError } from '../../shared/errors.ts';
import { inspectDomain } from '../domains/inventory.ts';
import { removeFile } from '../drives/pool.ts';
import type { Host } from '../host.ts';
import { dropBitmaps, forgetCheckpoints } from './bitmaps.ts';
import { abortLiveCopy } from './copy-live.ts';
import {
  copySocket,
  listSnapshots,
  partialPath,
  snapshotPath,
  snapshotRecords,
  type Undertaking,
  undertakings,
} from './records.ts';
import { remoteFiles, remoteNames, sftpSettings } from './remote.ts';
import { withSftp } from './sftp-client.ts';

/** Each snapshot drops the bitmap of the one before; the others are for those that could not. */
const LOOKED_FOR = 3;

/** One backup job at a time is all that libvirt allows a VM. */
export const backupLock = (domain: string): string => `backup-${domain}`;

/** A server that cannot be asked is left as it is. */
export interface Leave {
  /** It did not answer, and is not asked again. */
  gone: boolean;
  /** What may remain there. */
  remains: string[];
}

/** @param leave without it, a server that cannot be asked is an error. The caller holds the lock of the drive's snapshots and, where a VM is named, its backup lock. */
export async function settle(host: Host, it: Undertaking, leave?: Leave): Promise<void> {
  if (it.doing === 'deleting') await finishDeleting(host, it, leave);
  else await finishMaking(host, it, leave);
  await undertakings(host).remove(it.snapshotId);
}

async function finishMaking(host: Host, it: Undertaking, leave: Leave | undefined): Promise<void> {
  const { snapshotId, driveId, domain } = it;
  const made = await snapshotRecords(host, driveId).get(snapshotId);
  if (domain !== undefined) {
    const state = (await inspectDomain(host.virsh, domain))?.state;
    if (state !== undefined) {
      if (state !== 'off') await abortLiveCopy(host, domain, partialPath(host, it));
      await forgetCheckpoints(host, domain);
    }
  }
  await rm(partialPath(host, it), { force: true });
  await rm(copySocket(host, driveId), { force: true });
  if (made === undefined) {
    await removeFile(snapshotPath(host, it));
    if (it.sending === true) await removeRemote(host, it, leave);
  }
  const drive = await host.drives.get(driveId);
  if (drive === undefined) return;
  // While a VM has the drive, those of the latest snapshots may be in QEMU's memory only.
  const latest = (await listSnapshots(host, driveId)).slice(-LOOKED_FOR).map((other) => other.snapshotId);
  await dropBitmaps(host, drive, (onDisk) =>
    made === undefined
      ? [snapshotId]
      : [...new Set([...onDisk.map((bitmap) => bitmap.snapshotId), ...latest])].filter((id) => id !== snapshotId),
  );
}

async function finishDeleting(host: Host, it: Undertaking, leave: Leave | undefined): Promise<void> {
  await host.step('snapshot.delete:file');
  if (it.target === 'sftp') await removeRemote(host, it, leave);
  else await removeFile(snapshotPath(host, it));
  await host.step('snapshot.delete:record');
  await snapshotRecords(host, it.driveId).remove(it.snapshotId);
  await host.step('snapshot.delete:tidy');
  const drive = await host.drives.get(it.driveId);
  if (drive !== undefined) await dropBitmaps(host, drive, () => [it.snapshotId]);
}

async function removeRemote(host: Host, it: Undertaking, leave: Leave | undefined): Promise<void> {
  if (leave?.gone === true) return void leave.remains.push(...remoteNames(host, it));
  try {
    const { data, partial, record } = remoteFiles(host, it);
    await withSftp(sftpSettings(host), undefined, async (server) => {
      for (const path of [record, partial, data]) await server.remove(path);
    });
  } catch (error) {
    if (leave === undefined) throw notRemoved(it, error);
    leave.gone = error instanceof VmcError && error.code === 'unreachable';
    leave.remains.push(...remoteNames(host, it));
  }
}

function notRemoved({ snapshotId, driveId, doing }: Undertaking, error: unknown): VmcError {
  const what = doing === 'making' ? 'which was not finished, cannot be taken away' : 'cannot be deleted';
  return new VmcError(
    error instanceof VmcError ? error.code : 'internal',
    `Snapshot ${snapshotId} ${what}: ${errorMessage(error)}`,
    `When that is put right: host-agent reconcile. If the server is gone for good: host-agent snapshot forget ${driveId} --confirm ${driveId}, or connect drive snapshot forget ${driveId} --confirm ${driveId}`,
    { cause: error },
  );
}
