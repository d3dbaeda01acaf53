/**
 * A file system brought to rest for a snapshot, and let go again whatever becomes of vmc: before it freezes, a timer of
 * systemd is set that thaws it.
 */
import { stat } from 'node:fs/promises';
import { MAX_FREEZE_SECONDS } from '../../shared/api/drive-care.ts';
import { VmcError } from '../../shared/errors.ts';
import { run } from '../../shared/run.ts';
import { before } from './fault-points.ts';
import { type Frozen, readFrozen, removeFrozen, writeFrozen } from './frozen.ts';

const TIMEOUT_MS = 30_000;
const SYNC_TIMEOUT_MS = 10 * 60_000;

const thawUnit = (driveId: string) => `vmc-thaw-${driveId}`;

/**
 * systemd-run(1): thaws after so many seconds. In a slow VM the time may be over before the freeze has come about: so it
 * tries again each second until it has thawed something, or somebody else has.
 */
export function armArgs(driveId: string, mountPoint: string, seconds: number): string[] {
  return [
    ...['--quiet', '--collect', `--unit=${thawUnit(driveId)}`],
    ...[`--on-active=${seconds}s`, '--timer-property=AccuracySec=100ms'],
    ...['--property=Type=oneshot', '--property=Restart=on-failure', '--property=RestartSec=1s'],
    ...['--property=StartLimitIntervalSec=600s', '--property=StartLimitBurst=120'],
    ...['--', '/usr/sbin/fsfreeze', '--unfreeze', mountPoint],
  ];
}

export interface FreezeRequest {
  driveId: string;
  /** Mounted read-write. */
  mountPoint: string;
  seconds: number;
  /** Where vmc keeps what it writes: it must not wait for itself. */
  stateDir: string;
  runFolder: string;
  clock: () => number;
  signal: AbortSignal;
}

/** @returns until when, in Unix milliseconds. @throws VmcError 'busy' when it is frozen, 'wrong-state', 'timeout': it is not frozen then. */
export async function freeze(request: FreezeRequest): Promise<number> {
  const { driveId, mountPoint, stateDir, runFolder, clock, signal } = request;
  const left = await readFrozen(runFolder, driveId);
  if (left !== undefined && left.until > clock()) throw frozenError(driveId, left);
  if (left !== undefined) await thaw(runFolder, driveId);
  if ((await stat(stateDir)).dev === (await stat(mountPoint)).dev)
    throw new VmcError('wrong-state', `vmc keeps its own state on ${mountPoint}: it cannot be frozen.`);
  // What takes its time is done before: the freeze itself is then short.
  await run({ file: 'sync', args: ['--file-system', mountPoint], timeoutMs: SYNC_TIMEOUT_MS, signal });
  const seconds = Math.min(request.seconds, MAX_FREEZE_SECONDS);
  const until = clock() + seconds * 1000;
  try {
    await before('drive.freeze:mark');
    await writeFrozen(runFolder, driveId, { mountPoint, until });
    await before('drive.freeze:arm');
    await run({ file: 'systemd-run', args: armArgs(driveId, mountPoint, seconds), timeoutMs: TIMEOUT_MS });
    await before('drive.freeze:freeze');
    await run({ file: 'fsfreeze', args: ['--freeze', mountPoint], timeoutMs: seconds * 1000, signal });
    await before('drive.freeze:answer');
    signal.throwIfAborted();
    if (clock() >= until)
      throw new VmcError('timeout', `Freezing ${driveId} took longer than ${seconds} s.`, 'Ask for more seconds.');
  } catch (error) {
    await thaw(runFolder, driveId);
    throw error;
  }
  return until;
}

/** Does nothing to a drive that is not marked. @returns whether it was frozen until now. */
export async function thaw(runFolder: string, driveId: string): Promise<boolean> {
  const frozen = await readFrozen(runFolder, driveId);
  if (frozen === undefined) return false;
  await before('drive.thaw:thaw');
  const wasFrozen = await unfreeze(frozen.mountPoint);
  await before('drive.thaw:disarm');
  const units = [`${thawUnit(driveId)}.timer`, `${thawUnit(driveId)}.service`];
  // 5: there is no such unit, as it has done its work.
  await run({ file: 'systemctl', args: ['stop', ...units], timeoutMs: TIMEOUT_MS, okExitCodes: [0, 5] });
  await before('drive.thaw:unmark');
  await removeFrozen(runFolder, driveId);
  return wasFrozen;
}

async function unfreeze(mountPoint: string): Promise<boolean> {
  const { exitCode, stderr } = await run({
    file: 'fsfreeze',
    args: ['--unfreeze', mountPoint],
    timeoutMs: TIMEOUT_MS,
    okExitCodes: [0, 1],
  });
  if (exitCode === 0) return true;
  // EINVAL: it is not frozen. ENOENT: root has unmounted it by hand.
  if (/Invalid argument|No such file/.test(stderr)) return false;
  throw new VmcError('command-failed', `${mountPoint} could not be thawed: ${stderr.trim()}`, 'It is tried again.');
}

/** @throws VmcError 'busy' while it is frozen: what wants to write would wait. */
export async function requireThawed(runFolder: string, driveId: string, clock: () => number): Promise<void> {
  const frozen = await readFrozen(runFolder, driveId);
  if (frozen === undefined) return;
  if (frozen.until > clock()) throw frozenError(driveId, frozen);
  await thaw(runFolder, driveId);
}

const frozenError = (driveId: string, { until }: Frozen) =>
  new VmcError(
    'busy',
    `The drive ${driveId} is frozen for a snapshot, until ${new Date(until).toISOString()} at most.`,
    'Try again then.',
  );
