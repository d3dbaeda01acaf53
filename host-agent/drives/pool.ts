/** A pool: a folder in which disk files are made whole or not at all. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, readdir, rm, stat, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { isErrno, syncFolder } from '../../shared/files.ts';

const TEMPORARY = /^\.(vm-[0-9a-f]{12}|drv[0-9a-f]{16})[a-z0-9.-]*\.[0-9a-f]{12}\.tmp$/;

export interface PoolSpace {
  sizeBytes: number;
  freeBytes: number;
}

/** @throws VmcError 'bad-config' when the folder is missing. */
export async function poolSpace(folder: string): Promise<PoolSpace> {
  try {
    const { bsize, blocks, bavail } = await statfs(folder);
    return { sizeBytes: blocks * bsize, freeBytes: bavail * bsize };
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      throw new VmcError('bad-config', `There is no folder ${folder}.`, `Make it: mkdir -p ${folder}`);
    throw error;
  }
}

/** What a file takes on the disk, in bytes, or undefined when it is not there. stat(2): st_blocks counts 512 bytes. */
export async function allocatedBytes(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).blocks * 512;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Changes with every write to the file. */
export async function fingerprint(path: string): Promise<string> {
  const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return [ino, size, mtimeNs, ctimeNs].join(' ');
}

/**
 * Makes `path` with `make`, which writes to a temporary name beside it: a crash leaves nothing by the real name.
 * @throws VmcError 'already-exists' rather than replace a file.
 */
export async function makeFile(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const folder = join(path, '..');
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await make(temporary);
    const file = await open(temporary, constants.O_RDWR);
    try {
      await file.chmod(0o600);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(temporary, path); // unlike rename, it refuses to replace
  } catch (error) {
    if (isErrno(error, 'EEXIST')) throw new VmcError('already-exists', `${path} is there already.`);
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(folder);
}

/** @returns false when it was not there. */
export async function removeFile(path: string): Promise<boolean> {
  try {
    await rm(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
  await syncFolder(join(path, '..'));
  return true;
}

/** Temporary files in a pool and the object each belongs to: what a crash left, or what is being made now. */
export async function temporaryFiles(folder: string): Promise<{ path: string; object: string }[]> {
  const names = await readdir(folder);
  return names.flatMap((name) => {
    const object = TEMPORARY.exec(name)?.[1];
    return object === undefined ? [] : [{ path: join(folder, name), object }];
  });
}
