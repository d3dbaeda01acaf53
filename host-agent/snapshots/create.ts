/**
 * A snapshot: written down first, then the moment fixed and copied, then the file finished, and the record last. With its
 * record it is there; without it, nothing of it stays (settle.ts).
 */
import { constants } from 'node:fs';
import { open, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type * as z from 'zod';
import { SNAPSHOT_COPYING, type Snapshot, type snapshotMethods } from '../../shared/agent-api/snapshots.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno, syncFolder } from '../../shared/files.ts';
import { vmIdSchema } from '../../shared/names.ts';
import type { Progress } from '../../shared/rpc/method.ts';
import { requireAlone } from '../drives/alone.ts';
import { drivePath, requireDriveFile } from '../drives/drives.ts';
import { inUse } from '../drives/file-holders.ts';
import { imageTrouble } from '../drives/parse-qemu-img.ts';
import { poolSpace } from '../drives/pool.ts';
import { requirePool } from '../drives/pool-marker.ts';
import { reserveBytes } from '../drives/pool-space.ts';
import type { Work } from '../drives/qemu-img.ts';
import { requireSettled } from '../drives/settle.ts';
import { checkRealSpace } from '../drives/space.ts';
import type { Host } from '../host.ts';
import type { DriveRecord } from '../state/records.ts';
import { addBitmap, bitmapsOf, isSoundLive, type Whereabouts, whereIs } from './bitmaps.ts';
import { checkImage, forgetBacking } from './chain-file.ts';
import { beginLiveCopy, finishLiveCopy } from './copy-live.ts';
import { copyStill } from './copy-still.ts';
import { hashFile } from './hash-file.ts';
import { type Plan, planSnapshot } from './plan-snapshot.ts';
import {
  copySocket,
  findSnapshot,
  listSnapshots,
  MAX_SNAPSHOTS,
  makeSnapshotFolder,
  partialPath,
  snapshotPath,
  snapshotRecords,
  snapshotsLock,
  snapshotsPool,
  type Undertaking,
  undertakings,
} from './records.ts';
import { remoteFiles, sftpSettings } from './remote.ts';
import { backupLock, settle } from './settle.ts';
import { withSftp } from './sftp-client.ts';
import { steadyProgress } from './steady-progress.ts';

export type SnapshotRequest = z.output<typeof snapshotMethods.snapshotCreate.params>;

/**
 * Repeating it with the same id answers with what was made.
 * @throws VmcError 'not-found', 'busy', 'no-space', 'wrong-state', 'limit', 'bad-config', 'cancelled', 'already-exists';
 * of the target: 'unreachable', 'identity-changed', 'forbidden'.
 */
export async function createSnapshot(host: Host, request: SnapshotRequest, work: Work = {}): Promise<Snapshot> {
  const { snapshotId, driveId, target } = request;
  await requirePool(host, 'snapshots');
  if (target === 'sftp') sftpSettings(host);
  return host.locks.hold([driveId, snapshotsLock(driveId)], async () => {
    const drive = await requireSettled(host, driveId);
    const existing = await findSnapshot(host, snapshotId);
    if (existing?.driveId === driveId && existing.target === target) return existing;
    if (existing !== undefined)
      throw new VmcError('already-exists', `Snapshot ${snapshotId} is there already, of ${existing.driveId}.`);
    if ((await listSnapshots(host)).length >= MAX_SNAPSHOTS)
      throw new VmcError(
        'limit',
        `This host has ${MAX_SNAPSHOTS} snapshots.`,
        'Delete some: host-agent snapshot prune',
      );
    const { domains, writer, readers } = await whereIs(host, drive);
    // A VM that could begin to write waits; one that writes already goes on, and only its backups wait.
    const locks =
      writer === undefined
        ? domains.filter((it) => vmIdSchema.safeParse(it).success && !readers.includes(it))
        : [backupLock(writer.domain)];
    return host.locks.hold(locks, async () => {
      const now = await whereIs(host, drive);
      if (now.writer?.domain !== writer?.domain)
        throw new VmcError('busy', `Drive ${driveId} has just changed hands.`, 'Try again.');
      await settleEarlier(host, driveId, writer?.domain);
      return new Making(host, request, drive, now, work).run();
    });
  });
}

/** What a crash left of this drive would be in the way. */
async function settleEarlier(host: Host, driveId: string, domain: string | undefined): Promise<void> {
  for (const it of await undertakings(host).list()) {
    if (it.driveId !== driveId) continue;
    if (it.domain === undefined || it.domain === domain) await settle(host, it);
    else await host.locks.hold([backupLock(it.domain)], () => settle(host, it));
  }
}

class Making {
  readonly #host: Host;
  readonly #request: SnapshotRequest;
  readonly #drive: DriveRecord;
  readonly #where: Whereabouts;
  readonly #signal: AbortSignal | undefined;
  readonly #say: (progress: Progress) => void;
  #undertaking: Undertaking;

  constructor(host: Host, request: SnapshotRequest, drive: DriveRecord, where: Whereabouts, work: Work) {
    this.#host = host;
    this.#request = request;
    this.#drive = drive;
    this.#where = where;
    this.#signal = work.signal;
    this.#say = steadyProgress(work.progress);
    const { snapshotId, driveId, target } = request;
    const domain = where.writer === undefined ? {} : { domain: vmIdSchema.parse(where.writer.domain) };
    this.#undertaking = { doing: 'making', snapshotId, driveId, target, ...domain };
  }

  async run(): Promise<Snapshot> {
    const { snapshotId, driveId, target, kind } = this.#request;
    const path = drivePath(this.#host, this.#drive);
    this.#say({ step: 'planning' });
    const allocated = await requireDriveFile(this.#host, this.#drive);
    await makeSnapshotFolder(this.#host, driveId);
    const { format } = this.#drive;
    const { sizeBytes } = await requireAlone(path, format);
    await this.#begin('snapshot.create:intent');
    await undertakings(this.#host).put(snapshotId, this.#undertaking);
    let made: Snapshot | undefined;
    let failure: unknown;
    try {
      const earlier = await this.#usableSnapshots();
      const plan = await planSnapshot({ kind, target, format, sizeBytes }, earlier, (id) => this.#hasBitmap(id));
      // How much an incremental one takes nobody knows before.
      await this.#checkSpace(plan.kind === 'full' ? allocated : 0);
      const takenAt = await this.#copy(plan, sizeBytes);
      made = await this.#finish(plan, sizeBytes, takenAt);
    } catch (error) {
      failure = error;
    }
    if (made !== undefined) await this.#host.step('snapshot.create:tidy');
    await this.#settle(made, failure);
    if (made === undefined) throw await this.#explain(failure, path);
    return made;
  }

  /** Those whose data is where it should be, as far as a look can tell. */
  async #usableSnapshots(): Promise<Snapshot[]> {
    const all = await listSnapshots(this.#host, this.#request.driveId);
    const usable: Snapshot[] = [];
    for (const it of all) if (it.target === 'sftp' || (await this.#isThere(it))) usable.push(it);
    return usable;
  }

  async #isThere(it: Snapshot): Promise<boolean> {
    try {
      return (await stat(snapshotPath(this.#host, it))).size === it.storedBytes;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
  }

  async #hasBitmap(snapshotId: string): Promise<boolean> {
    const { writer } = this.#where;
    if (writer !== undefined) return isSoundLive(this.#host, writer, snapshotId);
    const bitmaps = await bitmapsOf(drivePath(this.#host, this.#drive));
    return bitmaps.some((it) => it.snapshotId === snapshotId && it.sound);
  }

  async #checkSpace(bytes: number): Promise<void> {
    const pool = snapshotsPool(this.#host);
    checkRealSpace(pool, bytes, (await poolSpace(pool)).freeBytes, reserveBytes(this.#host));
    if (this.#request.target !== 'sftp') return;
    const settings = sftpSettings(this.#host);
    const free = await withSftp(settings, this.#signal, (server) => server.freeBytes(settings.folder));
    if (free !== undefined && free < bytes)
      throw new VmcError(
        'no-space',
        `${settings.server} has ${mib(free)} free in ${settings.folder}; ${mib(bytes)} may be needed.`,
      );
  }

  /** @returns the moment that the copy shows. */
  async #copy(plan: Plan, sizeBytes: number): Promise<number> {
    const host = this.#host;
    const { snapshotId } = this.#request;
    const { writer, readers } = this.#where;
    const { format } = this.#drive;
    const file = partialPath(host, this.#request);
    const parentId = plan.kind === 'incremental' ? plan.parentId : undefined;
    const progress = (at: Pick<Progress, 'done' | 'total'>) =>
      this.#say({ step: SNAPSHOT_COPYING, ...at, unit: 'bytes' });
    await this.#begin('snapshot.create:begin');
    if (writer !== undefined) {
      const bitmap = format === 'qcow2' ? snapshotId : undefined;
      const copy = await beginLiveCopy(host, { domain: writer.domain, disk: writer.disk, file, parentId, bitmap });
      const takenAt = host.now();
      await this.#begin('snapshot.create:copying');
      await finishLiveCopy(host, copy, progress, this.#signal);
      await forgetBacking(file);
      return takenAt;
    }
    const path = drivePath(host, this.#drive);
    // Before the copy: should anybody write in between after all, it is noted. A file that a VM reads cannot be changed.
    if (format === 'qcow2' && readers.length === 0) await addBitmap(path, snapshotId);
    const takenAt = host.now();
    await this.#begin('snapshot.create:copying');
    const socket = copySocket(host, this.#request.driveId);
    await copyStill({ path, format, sizeBytes, file, parentId, socket, progress, signal: this.#signal });
    return takenAt;
  }

  async #finish(plan: Plan, sizeBytes: number, takenAt: number): Promise<Snapshot> {
    const host = this.#host;
    const { snapshotId, driveId, target } = this.#request;
    const partial = partialPath(host, this.#request);
    await this.#begin('snapshot.create:finish');
    await takeOver(partial);
    await checkImage(partial, this.#signal);
    const copied = await requireAlone(partial, 'qcow2');
    if (copied.sizeBytes !== sizeBytes)
      throw new VmcError(
        'command-failed',
        'The copy is not of the size that the drive had.',
        'Take the snapshot again.',
      );
    const total = (await stat(partial)).size;
    const { sha256, bytes } = await hashFile(
      partial,
      (done) => this.#say({ step: 'hashing', done, total, unit: 'bytes' }),
      this.#signal,
    );
    const snapshot: Snapshot = {
      snapshotId,
      driveId,
      ...plan,
      target,
      sizeBytes,
      storedBytes: bytes,
      sha256,
      takenAt,
    };
    if (target === 'sftp') await this.#upload(snapshot, partial);
    else {
      await this.#begin('snapshot.create:name');
      await rename(partial, snapshotPath(host, snapshot));
      await syncFolder(join(partial, '..'));
    }
    await this.#begin('snapshot.create:record');
    await snapshotRecords(host, driveId).put(snapshotId, snapshot);
    return snapshot;
  }

  async #upload(snapshot: Snapshot, local: string): Promise<void> {
    const settings = sftpSettings(this.#host);
    const { folder, data, partial, record } = remoteFiles(this.#host, snapshot);
    await this.#begin('snapshot.create:upload');
    this.#undertaking = { ...this.#undertaking, sending: true };
    await undertakings(this.#host).put(snapshot.snapshotId, this.#undertaking);
    await withSftp(settings, this.#signal, async (server) => {
      await server.makeFolder(folder);
      const total = snapshot.storedBytes;
      const progress = (done: number) => this.#say({ step: 'uploading', done, total, unit: 'bytes' });
      await server.upload(local, partial, { progress });
      await this.#begin('snapshot.create:name');
      await server.writeText(`${JSON.stringify(snapshot, undefined, 2)}\n`, record);
      await server.rename(partial, data);
    });
  }

  /** @throws VmcError 'cancelled'. */
  async #begin(point: Parameters<Host['step']>[0]): Promise<void> {
    if (this.#signal?.aborted === true) throw new VmcError('cancelled', 'The snapshot was cancelled.');
    await this.#host.step(point);
  }

  /** What cannot be settled now stays written down: the next snapshot of this drive, or reconcile, does it. */
  async #settle(made: Snapshot | undefined, failure: unknown): Promise<void> {
    try {
      await settle(this.#host, this.#undertaking);
    } catch (error) {
      if (made !== undefined) return;
      const [why, also] = [failure, error].map((it) => (it instanceof Error ? it.message : String(it)));
      throw new VmcError(
        failure instanceof VmcError ? failure.code : 'internal',
        `${why} Not all of it could be undone: ${also}`,
        (error instanceof VmcError ? error.hint : undefined) ?? 'Finish with: host-agent reconcile',
        { cause: failure },
      );
    }
  }

  async #explain(failure: unknown, path: string): Promise<unknown> {
    if (this.#signal?.aborted === true && !(failure instanceof VmcError && failure.code === 'cancelled'))
      return new VmcError('cancelled', 'The snapshot was cancelled.', undefined, { cause: failure });
    const text = failure instanceof Error ? failure.message : '';
    const trouble = imageTrouble(text);
    if (trouble === 'locked') return inUse(path, failure);
    if (trouble === 'no-space')
      return new VmcError(
        'no-space',
        `The snapshot does not fit: ${text}`,
        `Free some space in ${snapshotsPool(this.#host)}, or set pools.snapshots in host-agent.toml.`,
      );
    return failure;
  }
}

/** QEMU may have made it as its own user: from now on it is the agent's, and nobody else's; and it is on the disk. */
async function takeOver(path: string): Promise<void> {
  const file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    await file.chown(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
    await file.chmod(0o600);
    await file.sync();
  } finally {
    await file.close();
  }
}

const mib = (bytes: number) => `${Math.ceil(bytes / 1024 / 1024)} MiB`;
