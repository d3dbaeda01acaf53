/** From the id of a drive or an ISO image, which is the disk's serial, to its block device: udev's `/dev/disk/by-id/*_<id>`. */
import { open, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { diskIdSchema } from '../../shared/names.ts';
import { watchFolder } from '../watch-folder.ts';
import { wordsFor } from './names.ts';
import { diskIdOfLink, driveIdOfLink, isoIdOfLink } from './parse-links.ts';

export const BY_ID = '/dev/disk/by-id';

/** Ids of all attached drives, sorted. */
export async function listDriveIds(byId = BY_ID): Promise<string[]> {
  return idsIn(await linksIn(byId), driveIdOfLink);
}

/** Ids of all attached ISO images, sorted. */
export async function listIsoIds(byId = BY_ID): Promise<string[]> {
  return idsIn(await linksIn(byId), isoIdOfLink);
}

function idsIn(links: readonly string[], idOf: (link: string) => string | undefined): string[] {
  return [...new Set(links.map(idOf).filter((id) => id !== undefined))].sort();
}

/** @returns e.g. /dev/sdb, or undefined when it is not attached. @throws VmcError 'bad-data' when two disks claim one id. */
export async function findDevice(driveId: string, byId = BY_ID): Promise<string | undefined> {
  diskIdSchema.parse(driveId);
  const links = (await linksIn(byId)).filter((link) => diskIdOfLink(link) === driveId);
  const devices = new Set<string>();
  for (const link of links) {
    const device = await realpath(join(byId, link)).catch(() => undefined); // unplugged just now
    if (device !== undefined && (await stat(device)).isBlockDevice()) devices.add(device);
  }
  if (devices.size > 1)
    throw new VmcError(
      'bad-data',
      `Two disks say that they are ${driveId}: ${[...devices].join(', ')}.`,
      'Detach one of them.',
    );
  return [...devices][0];
}

/** As `findDevice`, for a drive that was attached just now: waits for udev. @throws VmcError 'not-found' after the deadline. */
export async function waitForDevice(driveId: string, timeoutMs: number, byId = BY_ID): Promise<string> {
  const device = await waitUntil((found) => found !== undefined, { driveId, timeoutMs, byId });
  if (device !== undefined) return device;
  throw new VmcError(
    'not-found',
    `The ${wordsFor(driveId)} is not attached to this VM.`,
    `Attach it first: connect ${driveId.startsWith('iso') ? 'vm iso' : 'drive'} attach`,
  );
}

/** Waits until udev has seen a drive go. @returns false after the deadline. @throws what `signal` was aborted with. */
export async function waitUntilGone(
  driveId: string,
  timeoutMs: number,
  signal: AbortSignal,
  byId = BY_ID,
): Promise<boolean> {
  return (await waitUntil((found) => found === undefined, { driveId, timeoutMs, byId, signal })) === undefined;
}

/** @returns what `findDevice` says when it is as wanted, or when the time is over. */
async function waitUntil(
  isWanted: (device: string | undefined) => boolean,
  { driveId, timeoutMs, byId, signal }: { driveId: string; timeoutMs: number; byId: string; signal?: AbortSignal },
): Promise<string | undefined> {
  let { resolve: wake, promise: next } = Promise.withResolvers<void>();
  const stop = watchFolder(byId, () => wake());
  let late = false;
  const onEnd = () => wake();
  signal?.addEventListener('abort', onEnd);
  const timer = setTimeout(() => {
    late = true;
    wake();
  }, timeoutMs);
  try {
    for (;;) {
      signal?.throwIfAborted();
      const device = await findDevice(driveId, byId);
      if (isWanted(device) || late) return device;
      await next;
      ({ resolve: wake, promise: next } = Promise.withResolvers<void>());
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onEnd);
    stop();
  }
}

/**
 * Lends the drive's device while it is held open. The kernel gives a name such as /dev/sdb to the next disk as soon as its
 * own has gone and nobody has it open: without this, what is meant for one drive could be written to another.
 * @throws VmcError 'wrong-state' when the drive was detached meanwhile: `work` has not begun then.
 */
export async function holdDevice<T>(driveId: string, device: string, work: () => Promise<T>, byId = BY_ID): Promise<T> {
  const gone = () =>
    new VmcError('wrong-state', `The ${wordsFor(driveId)} was detached meanwhile.`, 'Attach it again.');
  const held = await open(device, 'r').catch((error: unknown) => {
    throw ['ENOENT', 'ENXIO', 'ENODEV'].some((code) => isErrno(error, code)) ? gone() : error;
  });
  try {
    if ((await findDevice(driveId, byId)) !== device) throw gone(); // asked only now: from here on the name is ours
    return await work();
  } finally {
    await held.close();
  }
}

async function linksIn(byId: string): Promise<string[]> {
  try {
    return await readdir(byId);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return []; // no disk has an id at all
    throw error;
  }
}
