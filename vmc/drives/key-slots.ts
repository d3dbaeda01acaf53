/**
 * Key slots: cryptsetup changes a checked copy of the header in memory, and only the result goes to the drive. So the host
 * has nothing to swap meanwhile, and a crash leaves the old header or the new one.
 */
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { concatBytes, utf8, wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { run } from '../../shared/run.ts';
import { before } from './fault-points.ts';
import { checkHeader, withHeader, writeHeader } from './header-copy.ts';
import { parseMemAvailable } from './parse-key-tools.ts';
import type { Slot } from './parse-luks-header.ts';
import { KEY_COST, passphraseCost } from './plan-passphrase.ts';
import { requireSettled } from './require-settled.ts';
import { type Secret, unlockedSlot } from './unlock.ts';

const TIMEOUT_MS = 120_000;
/** A header with so many still fits the backup's limit; each takes 252 KiB that no compression makes smaller. */
const MOST_SLOTS = 12;

export const listSlots = (driveId: string, device: string): Promise<Slot[]> =>
  withHeader(driveId, device, async (_header, { slots }) => slots.filter(({ isUsed }) => isUsed));

/** @throws VmcError 'wrong-key'. */
export const checkSlot = (driveId: string, device: string, unlock: Secret): Promise<number> =>
  withHeader(driveId, device, (header, checked) => unlockedSlot(driveId, header, checked, unlock));

/** @returns the slot, also when `add` opens one already. @throws VmcError 'wrong-key', 'wrong-state', 'limit'. */
export function addSlot(driveId: string, device: string, unlock: Secret, add: Secret): Promise<number> {
  return withHeader(driveId, device, async (header, checked) => {
    requireSettled(driveId, checked);
    await unlockedSlot(driveId, header, checked, unlock);
    const known = await openedOrNone(() => unlockedSlot(driveId, header, checked, add));
    if (known !== undefined) return known;
    if (checked.slots.length >= MOST_SLOTS)
      throw new VmcError('limit', `The drive ${driveId} has ${MOST_SLOTS} keys already.`, 'Remove one first.');
    await luksAddKey(header, unlock, add);
    const slot = await unlockedSlot(driveId, header, await checkHeader(driveId, header), add);
    await before('drive.keyAdd:write');
    await writeHeader(driveId, device, header, checked.areas);
    return slot;
  });
}

/** @throws VmcError 'wrong-key'; 'not-found' when the slot is empty; 'wrong-state' for the slot that `unlock` opens. */
export function removeSlot(driveId: string, device: string, unlock: Secret, slot: number): Promise<void> {
  return withHeader(driveId, device, async (header, checked) => {
    requireSettled(driveId, checked);
    const own = await unlockedSlot(driveId, header, checked, unlock);
    if (!checked.slots.some((it) => it.slot === slot))
      throw new VmcError('not-found', `The drive ${driveId} has no key in slot ${slot}.`);
    if (own === slot)
      throw new VmcError(
        'wrong-state',
        `Slot ${slot} is the one that was just used to unlock the drive ${driveId}: it stays.`,
        'Unlock with another key to remove this one. The last key is never removed.',
      );
    await killSlot(header, slot);
    await before('drive.keyRemove:write');
    await writeHeader(driveId, device, header, checked.areas);
  });
}

/** Empties a slot of a copy; its place is overwritten. */
export async function killSlot(header: string, slot: number): Promise<void> {
  const args = ['luksKillSlot', '--batch-mode', header, String(slot)];
  await run({ file: 'cryptsetup', args, timeoutMs: TIMEOUT_MS });
}

/**
 * Both secrets come on stdin, one after the other: a key by its length, which is always the same; a passphrase as a line,
 * so that its length does not show in the arguments. What is left is the new secret.
 */
async function luksAddKey(header: string, unlock: Secret, add: Secret): Promise<void> {
  const [unlockArgs, end] =
    unlock.kind === 'key'
      ? [['--key-file', '-', '--keyfile-size', String(unlock.bytes.length)], utf8('')]
      : [[], utf8('\n')];
  const cost =
    add.kind === 'key'
      ? KEY_COST
      : passphraseCost(parseMemAvailable(await readFile('/proc/meminfo', 'utf8')), availableParallelism());
  const stdin = concatBytes(unlock.bytes, end, add.bytes);
  try {
    await run({
      file: 'cryptsetup',
      args: ['luksAddKey', '--batch-mode', '--type', 'luks2', ...cost, ...CIPHER, ...unlockArgs, header, '-'],
      stdin,
      timeoutMs: TIMEOUT_MS,
    });
  } finally {
    wipe(stdin);
  }
}

const CIPHER = ['--keyslot-cipher', 'aes-xts-plain64', '--keyslot-key-size', '512'] as const;

async function openedOrNone(open: () => Promise<number>): Promise<number | undefined> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof VmcError && error.code === 'wrong-key') return undefined;
    throw error;
  }
}
