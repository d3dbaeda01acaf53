/** Unlocking a drive, looking after its file system, and mounting it; undone when a later step fails. */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileSystemSchema } from '../../shared/api/drive.ts';
import { VmcError } from '../../shared/errors.ts';
import type { CallContext } from '../../shared/rpc/method.ts';
import { CommandError } from '../../shared/run.ts';
import type { Undo } from '../../shared/undo.ts';
import { type Check, type CheckRequest, checkFileSystem, damaged } from './check-file-system.ts';
import { before } from './fault-points.ts';
import { giveToPeople } from './give-to-people.ts';
import { luksClose, luksOpen } from './luks.ts';
import { markWhole } from './mark-whole.ts';
import { mount, prepareMountPoint, removeMountPoint, unmount } from './mount.ts';
import { mappingPath } from './names.ts';
import type { Observed } from './observe.ts';
import { signatureOf } from './signature.ts';
import type { Secret } from './unlock.ts';

export interface OpenWork extends Pick<CallContext, 'progress' | 'signal'> {
  found: Observed;
  key: Uint8Array | Secret;
  mountPoint: string;
  readOnly: boolean;
  repair: CheckRequest['repair'];
  peopleGid: () => Promise<number>;
  lock: number;
}

/** @throws VmcError 'wrong-key', 'wrong-state', 'bad-data'. */
export async function unlock({ found: { driveId, device }, key, readOnly }: OpenWork, undo: Undo): Promise<void> {
  await before('drive.open:luks-open');
  await luksOpen(driveId, device, key, { readOnly });
  undo.add('lock the drive', () => luksClose(driveId));
}

/** @returns what was done to a file system that was not in order. @throws VmcError 'wrong-state', 'already-exists', 'bad-data'. */
export async function mountUnlocked(work: OpenWork, undo: Undo): Promise<Check | undefined> {
  const { found, mountPoint, readOnly, repair } = work;
  const { driveId, device } = found;
  const path = mappingPath(driveId);
  await mkdir(dirname(mountPoint), { recursive: true, mode: 0o755 });
  if (await prepareMountPoint(mountPoint)) undo.add('remove the mount point', () => removeMountPoint(mountPoint));
  const { type, dirty } = (await signatureOf(path)) ?? {};
  const fileSystem = fileSystemSchema.safeParse(type).data;
  if (fileSystem === undefined) throw noFileSystem(found, type);

  await before('drive.open:check');
  const replay = async () => {
    await mount(path, mountPoint, fileSystem, false);
    await unmount(mountPoint);
  };
  const check = readOnly ? undefined : await checkFileSystem({ ...work, driveId, path, fileSystem, dirty, replay });
  // A crash came after the file system was made. From here on it holds what people put there.
  if (!readOnly && found.content?.kind === 'luks' && found.content.unfinished) {
    await before('drive.open:mark-whole');
    await markWhole(device);
  }
  await before('drive.open:mount');
  await mount(path, mountPoint, fileSystem, readOnly).catch((error: unknown) => {
    if (!(error instanceof CommandError) || error.reason !== 'exit') throw error;
    if (fileSystem === 'btrfs' && /File exists/.test(error.stderr)) throw copyIsMounted(driveId, error);
    throw damaged({ driveId, repair }, 'mount', error.stderr);
  });
  if (readOnly) return check;
  undo.add('unmount the drive', () => unmount(mountPoint));
  await before('drive.open:give-to-people');
  await giveToPeople(mountPoint, work.peopleGid);
  return check;
}

/** The kernel tells copies of a btrfs apart by nothing. */
const copyIsMounted = (driveId: string, cause: unknown) =>
  new VmcError(
    'wrong-state',
    `A copy of the btrfs of the drive ${driveId} is mounted in this VM, as of a drive that was restored from a snapshot: only one of them can be. It is not damaged.`,
    'Close the other one first, or attach this one to another VM.',
    { cause },
  );

function noFileSystem({ driveId, content }: Observed, type: string | undefined): VmcError {
  if (type !== undefined)
    return new VmcError('wrong-state', `The drive ${driveId} holds ${type}: vmc does not mount it.`);
  return content?.kind === 'luks' && content.unfinished
    ? new VmcError(
        'wrong-state',
        `The drive ${driveId} has no file system: formatting it was cut short.`,
        'Format it again; nothing is on it.',
      )
    : new VmcError(
        'wrong-state',
        `The drive ${driveId} has no file system that is known here.`,
        `It may be damaged: restore a snapshot. To give up what is on it, format it: --overwrite ${driveId}`,
      );
}
