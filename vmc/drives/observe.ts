/** What is so about a drive now, asked of sysfs, blkid and the mount table. Nothing is remembered between calls. */
import { readdir, readFile, statfs } from 'node:fs/promises';
import { basename } from 'node:path';
import type { DriveStatus } from '../../shared/api/drive.ts';
import { isErrno, readIfThere } from '../../shared/files.ts';
import { checkHeader } from './header-copy.ts';
import { hasMirror, mirroredHeader } from './header-mirror.ts';
import { inspectContent } from './inspect-content.ts';
import { mountsOf } from './mounts-of.ts';
import { mappingName, mappingPath, mirrorName } from './names.ts';
import { HEADER_BYTES } from './parse-luks-header.ts';
import { signatureOf } from './signature.ts';

export interface Observed {
  driveId: string;
  /** e.g. /dev/sdb */
  device: string;
  sizeBytes: number;
  /** What is on the device itself; undefined: blank. */
  content: { kind: 'luks'; unfinished: boolean } | { kind: 'other'; description: string } | undefined;
  /** Names of device-mapper (or other) devices on top of it. */
  holders: string[];
  /** Every place where the device or its mapping is mounted. */
  mounts: { mountPoint: string; readOnly: boolean; fileSystem: string }[];
  /** The file system inside the mapping, when that is there. */
  fileSystem: string | undefined;
}

export async function observe(driveId: string, device: string): Promise<Observed> {
  const name = basename(device);
  const sys = `/sys/class/block/${name}`;
  const sizeBytes = Number(await readFile(`${sys}/size`, 'utf8')) * 512; // always in 512-byte units
  const holderNodes = await holdersOf(name);
  const holders = await Promise.all(
    holderNodes.map(async (node) => ((await readIfThere(`/sys/class/block/${node}/dm/name`)) ?? node).trim()),
  ).then((names) => names.filter((it) => it !== mirrorName(driveId)));
  const numbers = await Promise.all(
    [name, ...holderNodes].map(async (node) => (await readFile(`/sys/class/block/${node}/dev`, 'utf8')).trim()),
  );
  const mounts = (await mountsOf(await readFile('/proc/self/mountinfo', 'utf8'), numbers)).map(
    ({ mountPoint, readOnly, fileSystem }) => ({ mountPoint, readOnly, fileSystem }),
  );
  const isMapped = holders.includes(mappingName(driveId));
  return {
    driveId,
    device,
    sizeBytes,
    // Nobody writes to the header but vmc: what is mapped is LUKS, whatever stands there now.
    content: isMapped
      ? { kind: 'luks', unfinished: (await signatureOf(device))?.unfinished === true }
      : await inspectContent(device, sizeBytes),
    holders,
    mounts,
    fileSystem: isMapped ? (mounts[0]?.fileSystem ?? (await fileSystemIn(driveId))) : undefined,
  };
}

/** The node is missing when cryptsetup was killed before it made it: the mapping can be closed all the same. */
async function fileSystemIn(driveId: string): Promise<string | undefined> {
  try {
    return (await signatureOf(mappingPath(driveId)))?.type;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Those on top of it, and those on top of these: while a drive is re-encrypted its mapping lies on others. */
async function holdersOf(node: string): Promise<string[]> {
  const direct = await readdir(`/sys/class/block/${node}/holders`);
  const above = await Promise.all(direct.map(holdersOf));
  return [...new Set([...direct, ...above.flat()])];
}

/** @returns while a re-encryption is under way or stopped, how far it has come. */
async function reencryptionOf({ driveId, device, sizeBytes, content }: Observed): Promise<DriveStatus['reencryption']> {
  if (content?.kind !== 'luks') return undefined;
  const header = (await hasMirror(driveId)) ? mirroredHeader(driveId) : device;
  const found = await checkHeader(driveId, header).catch(() => undefined); // damaged, or just being written
  if (found?.reencryption === undefined) return undefined;
  const totalBytes = sizeBytes - HEADER_BYTES;
  return { doneBytes: found.reencryption.doneBytes ?? totalBytes, totalBytes };
}

export async function statusOf(observed: Observed | { driveId: string; device?: undefined }): Promise<DriveStatus> {
  if (observed.device === undefined) return { driveId: observed.driveId, state: 'absent' };
  const { driveId, sizeBytes, content, holders, mounts, fileSystem } = observed;
  const unfinished = content?.kind === 'luks' && content.unfinished;
  const reencryption = await reencryptionOf(observed);
  const base = {
    driveId,
    sizeBytes,
    ...(unfinished ? { unfinished } : {}),
    ...(reencryption === undefined ? {} : { reencryption }),
  };
  const mounted = mounts[0];
  if (mounted !== undefined) {
    const { bavail, bsize } = await statfs(mounted.mountPoint);
    return {
      ...base,
      state: 'mounted',
      mountPoint: mounted.mountPoint,
      readOnly: mounted.readOnly,
      fileSystem: mounted.fileSystem,
      freeBytes: bavail * bsize,
    };
  }
  if (holders.includes(mappingName(driveId)))
    return { ...base, state: 'open', ...(fileSystem === undefined ? {} : { fileSystem }) };
  if (holders.length > 0) return { ...base, state: 'foreign' };
  return { ...base, state: content === undefined ? 'blank' : content.kind === 'luks' ? 'locked' : 'foreign' };
}
