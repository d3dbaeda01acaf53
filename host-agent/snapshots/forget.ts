/** The way out when the SFTP server on which something of a snapshot may be is gone for good. */
import type { Forgotten } from '../../shared/agent-api/snapshots.ts';
import { requirePool } from '../drives/pool-marker.ts';
import type { Host } from '../host.ts';
import { snapshotReadLock, snapshotsLock, undertakings } from './records.ts';
import { backupLock, type Leave, settle } from './settle.ts';

/**
 * Ends what was begun with snapshots of a drive, also where the server cannot be asked: what is there is left there. A
 * repeat ends what one was cut short of. @throws VmcError 'busy' while one is being made, 'libvirt-down'.
 */
export async function forgetUnfinished(host: Host, driveId: string): Promise<Forgotten[]> {
  await requirePool(host, 'snapshots');
  return host.locks.hold([driveId, snapshotsLock(driveId), snapshotReadLock(driveId)], async () => {
    const forgotten: Forgotten[] = [];
    const leave: Leave = { gone: false, remains: [] };
    for (const it of await undertakings(host).list()) {
      if (it.driveId !== driveId) continue;
      leave.remains = [];
      const locks = it.domain === undefined ? [] : [backupLock(it.domain)];
      await host.locks.hold(locks, () => settle(host, it, leave));
      forgotten.push({ snapshotId: it.snapshotId, doing: it.doing, remains: leave.remains });
    }
    return forgotten;
  });
}
