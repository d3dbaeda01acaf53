/**
 * Re-encryption of all of a drive with a new volume key (cryptsetup-reencrypt(8), LUKS2, online). cryptsetup runs as a unit
 * of systemd of its own: it goes on when vmc ends, however that ends, and stops where it is safe when it is told to. Killed
 * by SIGKILL in the middle it leaves a piece of a mounted volume suspended until the VM is restarted.
 */

import { VmcError } from '../../shared/errors.ts';
import type { CallContext } from '../../shared/rpc/method.ts';
import { run } from '../../shared/run.ts';
import { runOnDevices, WITHOUT_UDEV } from './device-mapper.ts';
import { before } from './fault-points.ts';
import { checkHeader, withHeader, writeHeader } from './header-copy.ts';
import { closeMirror, hasMirror, mirroredHeader, openMirror } from './header-mirror.ts';
import { killSlot } from './key-slots.ts';
import { checkKey, luksClose, luksOpen } from './luks.ts';
import { mappingNumber } from './mapping-node.ts';
import { hotZoneName, mappingName, overlayName } from './names.ts';
import { observe } from './observe.ts';
import { type CheckedHeader, HEADER_BYTES } from './parse-luks-header.ts';
import { KEY_COST } from './plan-passphrase.ts';
import { type Secret, unlockedSlot } from './unlock.ts';

const TIMEOUT_MS = 120_000;
/** Longer than any drive takes; Node's timers end there. */
const MOVE_TIMEOUT_MS = 24 * 24 * 3_600_000;
/** Writers to this much wait while it is moved; a smaller one costs more writes of the header. */
const ZONE = '8M';
const PROGRESS_MS = 1000;
/** What systemd-run(1) ends with when a signal ended the command. */
const KILLED = 255;

export interface Reencryption extends Pick<CallContext, 'progress' | 'signal'> {
  driveId: string;
  device: string;
  key: Uint8Array;
}

const unitOf = (driveId: string) => `vmc-reencrypt-${driveId}.service`;

/**
 * Begins, or goes on. One that came to its end while no vmc was there to say so is said to be done, and not begun again.
 * @returns 'paused' when it was stopped: every piece is then under the old key or the new one. Stopped before it began, it
 * has changed nothing.
 * @throws VmcError 'wrong-key', 'wrong-state', 'busy': nothing was changed then.
 */
export async function reencrypt(it: Reencryption): Promise<'done' | 'paused'> {
  const { driveId, device, key } = it;
  const isAtItsEnd = await takeOver(driveId, device);
  await removeKilled(driveId);
  const { mounts, holders, sizeBytes } = await observe(driveId, device);
  if (mounts.some(({ readOnly }) => readOnly))
    throw new VmcError('wrong-state', `The drive ${driveId} is open read-only.`, 'Close it, or open it read-write.');
  const isMounted = mounts.length > 0;
  if (!isMounted && holders.includes(mappingName(driveId))) await luksClose(driveId);
  if (isAtItsEnd) {
    await checkKey(driveId, device, key);
    return 'done';
  }
  if (!isMounted) {
    await before('drive.reencrypt:open');
    await luksOpen(driveId, device, key, { readOnly: false });
  }
  try {
    if (!(await move(it, sizeBytes).finally(() => letGo(it, isMounted)))) return 'paused';
  } catch (error) {
    await removeKilled(driveId, error);
    throw error;
  }
  return (await checkHeader(driveId, device)).reencryption === undefined ? 'done' : 'paused';
}

/**
 * @throws VmcError 'busy' while one goes on that outlived its vmc; 'wrong-state' when cryptsetup was killed. Takes down what
 * is left of one that has ended.
 */
export async function settleReencryption(driveId: string, device: string): Promise<void> {
  if (await hasMirror(driveId)) {
    const { stdout } = await systemctl('show', '--property', 'ActiveState', '--value', unitOf(driveId));
    if (!['inactive', 'failed'].includes(stdout.trim()))
      throw new VmcError(
        'busy',
        `The drive ${driveId} is being re-encrypted; vmc was restarted meanwhile.`,
        'Ask for the re-encryption again to see it, and to stop it: connect drive reencrypt',
      );
    await closeMirror(driveId, device);
  }
  await removeKilled(driveId);
}

/** Stops one that outlived its vmc. @returns whether all was done. */
async function takeOver(driveId: string, device: string): Promise<boolean> {
  if (!(await hasMirror(driveId))) return false;
  await endUnit(driveId);
  const header = await checkHeader(driveId, mirroredHeader(driveId)).catch(() => undefined); // cut while it was made
  await closeMirror(driveId, device);
  return header !== undefined && header.reencryption === undefined;
}

/**
 * What cryptsetup puts between a volume and its drive stays only if it was killed, in part suspended. While nobody has the
 * volume open it is removed as it is: to flush it, as cryptsetup's own close does, would wait for ever, and to resume it could
 * let through what is written with a key that the header does not know of. @returns whether there was any.
 * @throws VmcError 'wrong-state' when somebody has it open.
 */
async function removeKilled(driveId: string, cause?: unknown): Promise<boolean> {
  if ((await mappingNumber(overlayName(driveId))) === undefined) return false;
  for (const name of [mappingName(driveId), overlayName(driveId), hotZoneName(driveId)]) {
    if ((await mappingNumber(name)) === undefined) continue;
    const remove = { file: 'dmsetup', args: ['remove', name], okExitCodes: [0, 1], timeoutMs: TIMEOUT_MS };
    if ((await runOnDevices(remove)).exitCode === 0) continue;
    throw new VmcError(
      'wrong-state',
      `cryptsetup was killed while it re-encrypted the drive ${driveId}: who reads or writes the piece at hand waits for ever.`,
      'Restart the VM: connect vm shutdown --force, then connect vm start. Opening the drive then makes it whole.',
      { cause },
    );
  }
  return true;
}

/** The mirror goes last: it is what says how far all has come. */
async function letGo({ driveId, device }: Reencryption, isMounted: boolean): Promise<void> {
  if (!isMounted) {
    await before('drive.reencrypt:close');
    if (!(await removeKilled(driveId))) await luksClose(driveId);
  }
  await before('drive.reencrypt:settle');
  await closeMirror(driveId, device);
}

/** @returns false when it was stopped before anything was changed. */
function move(it: Reencryption, sizeBytes: number): Promise<boolean> {
  const { driveId, device, signal } = it;
  const secret: Secret = { kind: 'key', bytes: it.key };
  return withHeader(driveId, device, async (header, checked) => {
    const own = await unlockedSlot(driveId, header, checked, secret);
    if (signal.aborted) return false;
    if (checked.reencryption === undefined) await begin(it, header, checked, own);
    await before('drive.reencrypt:mirror');
    const mirror = await openMirror(driveId, device, header);
    await before('drive.reencrypt:move');
    await runUnit(it, mirror, sizeBytes - HEADER_BYTES);
    return true;
  });
}

/** Puts the new volume key into the header; no data is moved yet. The copy is looked at again before it goes to the drive. */
async function begin(it: Reencryption, header: string, checked: CheckedHeader, own: number): Promise<void> {
  const { driveId, device, key } = it;
  for (const { slot, isUsed } of checked.slots) if (!isUsed && slot !== own) await killSlot(header, slot);
  const others = checked.slots.filter(({ slot, isUsed }) => isUsed && slot !== own);
  if (others.length > 0)
    throw new VmcError(
      'wrong-state',
      `The drive ${driveId} has other keys, in slot ${others.map(({ slot }) => slot).join(', ')}: they would not open it any more.`,
      'Only who has them can take them over: remove them first, and add them again afterwards.',
    );
  await before('drive.reencrypt:begin');
  await run({
    file: 'cryptsetup',
    args: [
      ...['reencrypt', '--init-only', '--batch-mode', '--type', 'luks2', '--active-name', mappingName(driveId)],
      ...[
        '--cipher',
        'aes-xts-plain64',
        '--key-size',
        '512',
        '--resilience',
        'checksum',
        '--resilience-hash',
        'sha256',
      ],
      ...KEY_COST,
      ...['--header', header, '--key-file', '-', device],
    ],
    stdin: key,
    timeoutMs: TIMEOUT_MS,
  });
  const { reencryption } = await checkHeader(driveId, header);
  if (reencryption?.doneBytes !== 0) throw new VmcError('command-failed', 'cryptsetup began no re-encryption.');
  await before('drive.reencrypt:write');
  await writeHeader(driveId, device, header, checked.areas);
}

async function runUnit(it: Reencryption, mirror: string, totalBytes: number): Promise<void> {
  const { driveId, device, key, signal, progress } = it;
  const unit = unitOf(driveId);
  const stop = () => void systemctl('kill', '--signal', 'SIGINT', unit).catch(() => {}); // ended just now
  const tell = async () => {
    const { reencryption } = await checkHeader(driveId, mirroredHeader(driveId));
    if (reencryption !== undefined)
      progress({ step: 're-encrypting', done: reencryption.doneBytes ?? totalBytes, total: totalBytes, unit: 'bytes' });
  };
  const timer = setInterval(() => {
    if (signal.aborted) stop(); // it came before the unit was there
    void tell().catch(() => {}); // between two writes: the next time
  }, PROGRESS_MS);
  signal.addEventListener('abort', stop);
  try {
    const { exitCode, stderr } = await run({
      file: 'systemd-run',
      args: [
        ...['--quiet', '--collect', '--pipe', '--wait', `--unit=${unit}`],
        ...[
          ...['KillSignal=SIGINT', 'SendSIGKILL=no', 'TimeoutStopSec=infinity', 'OOMScoreAdjust=-900'],
          ...['LimitCORE=0', 'MemorySwapMax=0', `Environment=LC_ALL=C DM_DISABLE_UDEV=${WITHOUT_UDEV.DM_DISABLE_UDEV}`],
        ].map((property) => `--property=${property}`),
        ...['cryptsetup', 'reencrypt', '--resume-only', '--batch-mode', '--active-name', mappingName(driveId)],
        ...['--resilience', 'checksum', '--resilience-hash', 'sha256', '--hotzone-size', ZONE],
        ...['--header', mirror, '--key-file', '-', device],
      ],
      stdin: key,
      okExitCodes: [0, 1, KILLED],
      timeoutMs: MOVE_TIMEOUT_MS,
    });
    if (exitCode === KILLED || (exitCode === 1 && !/interrupted/i.test(stderr) && !signal.aborted))
      throw new VmcError(
        'command-failed',
        `The re-encryption of the drive ${driveId} stopped: ${exitCode === KILLED ? 'cryptsetup was killed' : stderr.trim().slice(-300)}`,
        'The drive is as usable as before. Asked again it goes on.',
      );
  } finally {
    signal.removeEventListener('abort', stop);
    clearInterval(timer);
    await endUnit(driveId); // it does not end with systemd-run
  }
}

const NOT_LOADED = 5;

/** Waits until it has stopped where that is safe. */
const endUnit = (driveId: string) => systemctl('stop', unitOf(driveId));

const systemctl = (...args: string[]) =>
  run({ file: 'systemctl', args, okExitCodes: [0, NOT_LOADED], timeoutMs: 10 * 60_000 });
