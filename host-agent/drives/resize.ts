/** Drives grow, live too. They never shrink: what is at their end would be lost, and only the VM knows what that is. */
import type { DriveFile } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import { CommandError } from '../../shared/run.ts';
import { diskName } from '../domains/domain-xml.ts';
import { type Domain, holdersOf, inspectAllDomains } from '../domains/inventory.ts';
import type { Host } from '../host.ts';
import { dropBrokenBitmaps } from '../snapshots/bitmaps.ts';
import type { DriveRecord } from '../state/records.ts';
import { describeDrive, drivePath, requireDriveFile } from './drives.ts';
import { inUse } from './file-holders.ts';
import { imageTrouble } from './parse-qemu-img.ts';
import { requirePool } from './pool-marker.ts';
import { beginWithSpace, checkPoolSpace } from './pool-space.ts';
import { growImage, imageInfo } from './qemu-img.ts';
import { requireSettled, settle } from './settle.ts';

/**
 * Grown live, a drive whose space was set aside has its new part sparse.
 * Succeeds when it is as large already. @throws VmcError 'bad-request' (smaller), 'no-space', 'busy', 'wrong-state'.
 */
export function resizeDrive(host: Host, driveId: string, sizeBytes: number): Promise<DriveFile> {
  return host.locks.hold([driveId], async () => {
    await requirePool(host, 'drives');
    const record = await requireSettled(host, driveId);
    await requireDriveFile(host, record);
    const path = drivePath(host, record);
    const domains = await inspectAllDomains(host.virsh);
    const holders = holdersOf(domains, driveId, path);
    const now = (await imageInfo(path, record.format)).sizeBytes;
    if (sizeBytes < now)
      throw new VmcError(
        'bad-request',
        `Drive ${driveId} has ${now} bytes, and a drive never shrinks.`,
        'Make a smaller one, and copy what is to be kept.',
      );
    if (sizeBytes > now) {
      const running = domains.find((it) => it.live.some((disk) => disk.serial === driveId || disk.file === path));
      const claimBytes = running === undefined && record.allocation !== 'sparse' ? sizeBytes - now : 0;
      if (claimBytes === 0) await checkPoolSpace(host, sizeBytes - now);
      const begun: DriveRecord = { ...record, pending: { what: 'resize', sizeBytes, claimBytes } };
      await beginWithSpace(host, begun);
      try {
        // QEMU grows no file that has one.
        await dropBrokenBitmaps(host, record);
        await host.step('drive.resize:file');
        if (running === undefined) await growImage(path, record.format, sizeBytes, record.allocation);
        else await growLive(host, running, driveId, path, sizeBytes);
        await host.step('drive.resize:record');
      } finally {
        await settle(host, begun); // what the file is now decides
      }
    }
    return describeDrive(host, await requireSettled(host, driveId), holders);
  });
}

async function growLive(host: Host, domain: Domain, driveId: string, path: string, sizeBytes: number): Promise<void> {
  const disk = domain.live.find((it) => it.serial === driveId || it.file === path);
  if (disk?.readOnly === true)
    throw new VmcError(
      'busy',
      `Drive ${driveId} is attached to ${domain.name} read-only, which does not let it grow.`,
      `Detach it first: host-agent drive detach ${driveId} ${domain.name}`,
    );
  const target = diskName(disk?.scsiTarget ?? 0);
  try {
    await host.virsh.run(['blockresize', domain.name, target, `${sizeBytes}B`]);
  } catch (error) {
    if (error instanceof CommandError && imageTrouble(error.stderr) === 'locked') throw await inUse(path, error);
    throw error;
  }
}
