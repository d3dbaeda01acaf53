/** Is a snapshot, with all that it builds on, still as it was written? */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type * as z from 'zod';
import type { Snapshot, snapshotMethods } from '../../shared/agent-api/snapshots.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { requirePool } from '../drives/pool-marker.ts';
import type { Work } from '../drives/qemu-img.ts';
import type { Host } from '../host.ts';
import { checkImage } from './chain-file.ts';
import { hashFile } from './hash-file.ts';
import { requireChain, requireSnapshot, snapshotPath, snapshotReadLock, undertakings } from './records.ts';
import { remoteFiles, sftpSettings } from './remote.ts';
import { withSftp } from './sftp-client.ts';
import { steadyProgress } from './steady-progress.ts';

export type Verdict = z.output<typeof snapshotMethods.snapshotVerify.result>;

/**
 * Reads all of it; nothing of it is deleted meanwhile.
 * @throws VmcError 'not-found', 'busy', 'wrong-state' (it is being deleted), 'cancelled', and those of a server that cannot be reached.
 */
export async function verifySnapshot(host: Host, snapshotId: string, work: Work = {}): Promise<Verdict> {
  await requirePool(host, 'snapshots');
  const { driveId } = await requireSnapshot(host, snapshotId);
  return host.locks.hold([snapshotReadLock(driveId)], async () => {
    const chain = await requireChain(host, snapshotId);
    if ((await undertakings(host).get(snapshotId))?.doing === 'deleting')
      throw new VmcError(
        'wrong-state',
        `Deleting snapshot ${snapshotId} was begun.`,
        'Delete it again to finish that.',
      );
    const found = await readChain(host, chain, undefined, work);
    return found.ok ? { ok: true } : { ok: false, badId: found.badId, problem: found.problem };
  });
}

export type ReadChain = { ok: true; files: string[] } | { ok: false; badId: string; problem: string };

/**
 * Reads and checks the files of a chain. @param fetchTo a folder for copies of those on a server; undefined: no copies.
 * @returns the local files, the full one first.
 */
export async function readChain(
  host: Host,
  chain: readonly Snapshot[],
  fetchTo: string | undefined,
  { signal, progress }: Work,
): Promise<ReadChain> {
  const say = steadyProgress(progress);
  const total = chain.reduce((sum, it) => sum + it.storedBytes, 0);
  let before = 0;
  const files: string[] = [];
  for (const it of chain) {
    const at = (done: number) => say({ step: 'reading', done: before + done, total, unit: 'bytes' });
    try {
      files.push(
        it.target === 'pool'
          ? await checkLocal(host, it, at, signal)
          : await checkRemote(host, it, fetchTo, at, signal),
      );
    } catch (error) {
      if (error instanceof VmcError && error.code === 'bad-data')
        return { ok: false, badId: it.snapshotId, problem: error.message };
      throw error;
    }
    before += it.storedBytes;
  }
  return { ok: true, files };
}

async function checkLocal(
  host: Host,
  it: Snapshot,
  at: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<string> {
  const path = snapshotPath(host, it);
  let read: Awaited<ReturnType<typeof hashFile>>;
  try {
    read = await hashFile(path, at, signal);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw new VmcError('bad-data', `${path} is missing.`);
    if (isErrno(error, 'EIO')) throw new VmcError('bad-data', `${path} cannot be read.`);
    throw error;
  }
  checkHash(path, it, read.sha256);
  try {
    await checkImage(path, signal);
  } catch (error) {
    if (error instanceof VmcError && error.code === 'command-failed')
      throw new VmcError('bad-data', `${path}: ${error.message}`);
    throw error;
  }
  return path;
}

async function checkRemote(
  host: Host,
  it: Snapshot,
  fetchTo: string | undefined,
  progress: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { data } = remoteFiles(host, it);
  const local = fetchTo === undefined ? undefined : join(fetchTo, `${it.snapshotId}.qcow2`);
  if (local !== undefined) await rm(local, { force: true });
  const sha256 = await withSftp(sftpSettings(host), signal, (server) =>
    server.read(data, it.storedBytes, local, { progress }),
  ).catch((error: unknown) => {
    if (error instanceof VmcError && error.code === 'not-found') throw new VmcError('bad-data', error.message);
    throw error;
  });
  checkHash(data, it, sha256);
  return local ?? data;
}

function checkHash(path: string, it: Snapshot, sha256: string): void {
  if (sha256 !== it.sha256)
    throw new VmcError(
      'bad-data',
      `${path} is not what was written: its SHA-256 is ${sha256} instead of ${it.sha256}.`,
    );
}
