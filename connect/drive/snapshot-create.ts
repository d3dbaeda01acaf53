/**
 * A snapshot of a drive that is in use: the file system is at rest for the moment that is copied, a second or so. Whatever
 * happens it thaws: by us, at once; else by itself when the time is over.
 */
import { SNAPSHOT_COPYING, type Snapshot, snapshotSchema } from '../../shared/agent-api/snapshots.ts';
import { driveCareMethods } from '../../shared/api/drive-care.ts';
import { VmcError } from '../../shared/errors.ts';
import { snapshotRoutes } from '../../shared/rest-api/drive-care.ts';
import type { Job } from '../../shared/rest-api/jobs.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import type { Control } from '../control.ts';
import { note } from '../io.ts';
import { beginJob, followJob } from '../job/follow.ts';
import { checked } from '../options.ts';
import type { Session } from '../session.ts';
import { getVm } from '../vm/find.ts';
import { attachmentsOf, isUp } from './find.ts';
import { callVm, insideVm, statusInVm } from './in-vm.ts';

/** The host needs a second or so; a slow one a few. */
const FREEZE_SECONDS = 10;
const THAW_MS = 15_000;

/** frozen: nothing was being written · unused: nobody had it open for writing · power-cut: as after one, the file system has to recover */
export type Consistency = 'frozen' | 'unused' | 'power-cut';

export interface SnapshotWish {
  kind: 'auto' | 'full' | 'incremental';
  target: 'pool' | 'sftp';
  freeze: boolean;
}

export async function createSnapshot(
  session: Session,
  drive: Drive,
  wish: SnapshotWish,
): Promise<Snapshot & { consistency: Consistency }> {
  const writer = attachmentsOf(drive).find((it) => !it.readOnly);
  if (writer === undefined || !isUp(await getVm(session, writer.vmId)))
    return { ...(await copy(session, drive, wish)), consistency: 'unused' };
  if (!wish.freeze) return { ...(await copy(session, drive, wish)), consistency: 'power-cut' };
  return insideVm(session, drive, { vm: writer.vmId }, async ({ rpc }) => {
    const { state, readOnly } = await statusInVm(session, rpc, drive.driveId);
    if (state !== 'mounted' || readOnly === true) {
      // What the VM uses in a way of its own (foreign) may be written to.
      const isIdle = state === 'mounted' || ['absent', 'blank', 'locked'].includes(state);
      return { ...(await copy(session, drive, wish)), consistency: isIdle ? 'unused' : 'power-cut' };
    }
    return whileFrozen(session, rpc, drive, wish);
  });
}

async function whileFrozen(session: Session, rpc: Control, drive: Drive, wish: SnapshotWish) {
  const { driveId } = drive;
  const { io } = session;
  let thawing: Promise<boolean> | undefined;
  const thaw = () => {
    thawing ??= thawed(session, rpc, driveId);
    return thawing;
  };
  const thawNow = () => void thaw();
  await freeze(session, rpc, driveId);
  io.signal.addEventListener('abort', thawNow, { once: true });
  try {
    const snapshot = await copy(session, drive, wish, async ({ state, step }) => {
      if (state !== 'running' || step === SNAPSHOT_COPYING) await thaw();
    });
    const consistency: Consistency = (await thaw()) ? 'frozen' : 'power-cut';
    return { ...snapshot, consistency };
  } finally {
    io.signal.removeEventListener('abort', thawNow);
    await thaw();
  }
}

async function freeze(session: Session, rpc: Control, driveId: string): Promise<void> {
  try {
    await callVm(session, rpc, driveCareMethods.driveFreeze, { driveId, seconds: FREEZE_SECONDS });
  } catch (error) {
    if (!(error instanceof VmcError)) throw error;
    // It may have come to rest although nobody could tell us.
    if (['cancelled', 'timeout', 'unreachable', 'outcome-unknown', 'channel-closed'].includes(error.code))
      await thawed(session, rpc, driveId);
    throw new VmcError(
      error.code,
      `The file system could not be brought to rest: ${error.message} No snapshot was made.`,
      error.code === 'cancelled' ? undefined : 'As after a power cut, without that: --no-freeze',
      { cause: error },
    );
  }
}

/** Also after Ctrl-C. @returns whether it was at rest until now. */
async function thawed(session: Session, rpc: Control, driveId: string): Promise<boolean> {
  try {
    const { wasFrozen } = await rpc.call(driveCareMethods.driveThaw, { driveId }, { timeoutMs: THAW_MS });
    return wasFrozen;
  } catch (error) {
    if (!(error instanceof VmcError)) throw error;
    note(session.io, `${error.message} Writers go on by themselves within ${FREEZE_SECONDS} s.`);
    return false;
  }
}

async function copy(
  session: Session,
  { driveId }: Drive,
  { kind, target }: SnapshotWish,
  onChange?: (job: Job) => Promise<void>,
): Promise<Snapshot> {
  const job = await beginJob(session, snapshotRoutes.snapshotCreate, { params: { driveId }, body: { kind, target } });
  const done = await followJob(session, job, {
    whenCancelled: 'Nothing of the snapshot stays.',
    ...(onChange === undefined ? {} : { onChange }),
  });
  return checked(snapshotSchema, done.result, 'the answer of the host');
}
