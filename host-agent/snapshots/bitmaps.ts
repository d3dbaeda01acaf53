/**
 * Dirty bitmaps in qcow2 drives: each notes what was written since the snapshot of its name. QEMU keeps them in the file,
 * whoever has it open; so what a bitmap says is true of the file wherever that was meanwhile, or it is marked as not so.
 */

import { snapshotIdSchema } from '../../shared/names.ts';
import { CommandError, run } from '../../shared/run.ts';
import { diskName } from '../domains/domain-xml.ts';
import { inspectAllDomains } from '../domains/inventory.ts';
import { drivePath } from '../drives/drives.ts';
import { allocatedBytes } from '../drives/pool.ts';
import type { Host } from '../host.ts';
import type { DriveRecord } from '../state/records.ts';
import { checkpointXml } from './backup-xml.ts';
import { type Bitmap, parseBitmaps } from './parse-bitmaps.ts';

const TIMEOUT_MS = 60_000;

/** Where a drive is now. */
export interface Whereabouts {
  /** Every VM that has it, running or at its next start. */
  domains: readonly string[];
  /** The running VM that may write to it, and what libvirt calls it there. */
  writer: { domain: string; disk: string } | undefined;
  /** Running VMs that read it. */
  readers: readonly string[];
}

/** @throws VmcError 'libvirt-down'. */
export async function whereIs(host: Host, drive: DriveRecord): Promise<Whereabouts> {
  const file = drivePath(host, drive);
  const domains: string[] = [];
  const readers: string[] = [];
  let writer: Whereabouts['writer'];
  for (const domain of await inspectAllDomains(host.virsh)) {
    const isIt = (disk: { file: string; serial: string | undefined }) =>
      disk.file === file || disk.serial === drive.driveId;
    const live = domain.live.find(isIt);
    if (live === undefined && !domain.config.some(isIt)) continue;
    domains.push(domain.name);
    if (live?.readOnly === true) readers.push(domain.name);
    else if (live !== undefined) writer = { domain: domain.name, disk: diskName(live.scsiTarget ?? 0) };
  }
  return { domains, writer, readers };
}

/** Those on the disk; while a VM writes to the drive, newer ones may be in QEMU's memory only. */
export async function bitmapsOf(path: string): Promise<Bitmap[]> {
  const { stdout } = await run({
    file: 'qemu-img',
    args: ['info', '--output=json', '-U', '-f', 'qcow2', path],
    timeoutMs: TIMEOUT_MS,
  });
  return parseBitmaps(stdout);
}

export async function addBitmap(path: string, snapshotId: string): Promise<void> {
  await run({
    file: 'qemu-img',
    args: ['bitmap', '--add', '-g', '65536', '-f', 'qcow2', path, snapshotId],
    timeoutMs: TIMEOUT_MS,
  });
}

/**
 * Asks libvirt, which asks QEMU: it is there, persistent, switched on and has missed nothing. If so, libvirt knows it from
 * now on as a checkpoint, until `forgetCheckpoints`.
 */
export async function isSoundLive(
  host: Host,
  { domain, disk }: { domain: string; disk: string },
  snapshotId: string,
): Promise<boolean> {
  try {
    await host.virsh.runWithXml(checkpointXml(disk, snapshotId), (path) => [
      ...['checkpoint-create', domain, path],
      ...['--redefine', '--redefine-validate'],
    ]);
    return true;
  } catch (error) {
    if (error instanceof CommandError && /checkpoint inconsistent/.test(error.stderr)) return false;
    throw error;
  }
}

/** libvirt's names for bitmaps are gone; the bitmaps stay. */
export async function forgetCheckpoints(host: Host, domain: string): Promise<void> {
  const names = (await host.virsh.run(['checkpoint-list', domain, '--name'])).split('\n').map((it) => it.trim());
  for (const name of names)
    if (snapshotIdSchema.safeParse(name).success)
      await host.virsh.run(['checkpoint-delete', domain, name, '--metadata']);
}

/** Takes bitmaps out of a drive, wherever it is; those that are not there are fine. A drive that is only read keeps them. */
export async function dropBitmaps(
  host: Host,
  drive: DriveRecord,
  choose: (onDisk: readonly Bitmap[]) => readonly string[],
): Promise<void> {
  const path = drivePath(host, drive);
  if (drive.format !== 'qcow2' || (await allocatedBytes(path)) === undefined) return;
  const { writer, readers } = await whereIs(host, drive);
  const onDisk = await bitmapsOf(path);
  if (writer !== undefined) {
    for (const snapshotId of choose(onDisk)) await dropLive(host, writer, snapshotId);
  } else if (readers.length === 0) {
    const there = new Set(onDisk.map((it) => it.snapshotId));
    for (const snapshotId of choose(onDisk))
      if (there.has(snapshotId))
        await run({
          file: 'qemu-img',
          args: ['bitmap', '--remove', '-f', 'qcow2', path, snapshotId],
          timeoutMs: TIMEOUT_MS,
        });
  }
}

async function dropLive(host: Host, { domain, disk }: { domain: string; disk: string }, id: string): Promise<void> {
  await host.virsh.runWithXml(checkpointXml(disk, id), (path) => ['checkpoint-create', domain, path, '--redefine']);
  try {
    await host.virsh.run(['checkpoint-delete', domain, id]);
  } catch (error) {
    await host.virsh.run(['checkpoint-delete', domain, id, '--metadata']);
    if (!(error instanceof CommandError && /not found in backing chain/.test(error.stderr))) throw error;
  }
}

/**
 * Removes what a crash of QEMU left marked: QEMU refuses to grow a file that has such a one. The next snapshot is full.
 * @throws VmcError 'libvirt-down'.
 */
export async function dropBrokenBitmaps(host: Host, drive: DriveRecord): Promise<void> {
  if (drive.format !== 'qcow2') return;
  const { writer } = await whereIs(host, drive);
  const broken: string[] = [];
  if (writer !== undefined) {
    for (const { snapshotId } of await bitmapsOf(drivePath(host, drive)))
      if (!(await isSoundLive(host, writer, snapshotId))) broken.push(snapshotId);
    await forgetCheckpoints(host, writer.domain);
  }
  await dropBitmaps(host, drive, (onDisk) =>
    writer !== undefined ? broken : onDisk.filter((it) => !it.sound).map((it) => it.snapshotId),
  );
}
