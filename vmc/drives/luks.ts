/** cryptsetup(8). The key goes to its stdin and nowhere else. */
import { readdir } from 'node:fs/promises';
import { VmcError } from '../../shared/errors.ts';
import { CommandError, run } from '../../shared/run.ts';
import { runOnDevices } from './device-mapper.ts';
import { withHeader, writeHeader } from './header-copy.ts';
import { mappingNumber } from './mapping-node.ts';
import { mappingName } from './names.ts';
import { UNFINISHED_LABEL } from './parse-state.ts';
import { KEY_COST } from './plan-passphrase.ts';
import { requireSettled } from './require-settled.ts';
import { asSecret, type Secret, unlockedSlot, wrongKey } from './unlock.ts';

const TIMEOUT_MS = 120_000;
/** Exit codes of cryptsetup. */
const NO_PERMISSION = 2;
const BUSY = 5;

const inheriting = (lock: number | undefined) => (lock === undefined ? {} : { inherit: lock });

export async function luksFormat(device: string, key: Uint8Array, lock?: number): Promise<void> {
  const args = [
    ['luksFormat', '--batch-mode', '--type', 'luks2'],
    ['--cipher', 'aes-xts-plain64', '--key-size', '512', '--sector-size', '4096'],
    KEY_COST,
    ['--label', UNFINISHED_LABEL, '--key-file', '-', device],
  ].flat();
  await run({ file: 'cryptsetup', args, stdin: key, timeoutMs: TIMEOUT_MS, ...inheriting(lock) });
}

/**
 * What was cut while it was re-encrypted is made whole first (cryptsetup does that again and again with the same result, until
 * the header says that it is done).
 * @param secret bytes alone are a key. @throws VmcError 'wrong-key', 'bad-data' for a header that vmc did not make.
 */
export async function luksOpen(
  driveId: string,
  device: string,
  secret: Uint8Array | Secret,
  options: { readOnly: boolean },
): Promise<void> {
  const { kind, bytes } = asSecret(secret);
  await withHeader(driveId, device, async (header, checked) => {
    const { slots, reencryption, areas } = checked;
    if (reencryption?.isCut === true && options.readOnly)
      throw new VmcError(
        'wrong-state',
        `The re-encryption of the drive ${driveId} was cut: it cannot be opened read-only.`,
        'Open it read-write once: that makes it whole.',
      );
    const isMixed = reencryption === undefined && slots.some((slot) => slot.kind !== kind);
    const slot = isMixed ? await unlockedSlot(driveId, header, checked, { kind, bytes }) : undefined;
    // The queues help spinning disks behind many CPUs; in a VM they only cost.
    const args = [
      ['open', '--type', 'luks2', '--allow-discards', '--perf-no_read_workqueue', '--perf-no_write_workqueue'],
      options.readOnly ? ['--readonly'] : [],
      slot === undefined ? [] : ['--key-slot', String(slot)],
      ['--header', header, '--key-file', '-', device, mappingName(driveId)],
    ].flat();
    await withKey(driveId, () => runOnDevices({ file: 'cryptsetup', args, stdin: bytes, timeoutMs: TIMEOUT_MS }));
    if (reencryption?.isCut !== true) return;
    try {
      await writeHeader(driveId, device, header, areas); // before anything is written to the volume
    } catch (error) {
      await luksClose(driveId);
      throw error;
    }
  });
}

/** Whether the key fits, changing nothing. @throws VmcError 'wrong-key', 'bad-data' for a header that vmc did not make. */
export async function checkKey(driveId: string, device: string, secret: Uint8Array | Secret): Promise<void> {
  await withHeader(driveId, device, (header, checked) => unlockedSlot(driveId, header, checked, asSecret(secret)));
}

/** The open volume takes all of its device. It takes the key, as the kernel keeps it where cryptsetup does not find it again. @throws as `luksOpen`. */
export async function luksResize(driveId: string, device: string, key: Uint8Array): Promise<void> {
  await withHeader(driveId, device, async (header, checked) => {
    requireSettled(driveId, checked);
    const args = ['resize', '--header', header, '--key-file', '-', mappingName(driveId)];
    await withKey(driveId, () => runOnDevices({ file: 'cryptsetup', args, stdin: key, timeoutMs: TIMEOUT_MS }));
  });
}

/**
 * dmsetup(8) takes half of the time: cryptsetup reads the header first, to see what else it has mapped. Only a
 * re-encryption maps anything else. @throws VmcError 'busy' while something uses it.
 */
export async function luksClose(driveId: string): Promise<void> {
  const name = mappingName(driveId);
  const command = (await isStacked(name))
    ? { file: 'cryptsetup', args: ['close', name] }
    : { file: 'dmsetup', args: ['remove', '--retry', name] };
  try {
    await runOnDevices({ ...command, timeoutMs: TIMEOUT_MS });
  } catch (error) {
    if (!(error instanceof CommandError) || !(error.exitCode === BUSY || /busy/.test(error.stderr))) throw error;
    throw new VmcError(
      'busy',
      `The drive ${driveId} is unmounted here, but something still uses it.`,
      'A process may have it mounted in a namespace of its own: end it, then close again.',
      { cause: error },
    );
  }
}

/** Whether it lies on other mappings, and not on its disk. */
async function isStacked(name: string): Promise<boolean> {
  const number = await mappingNumber(name);
  const below = number === undefined ? [] : await readdir(`/sys/dev/block/${number}/slaves`);
  return below.some((node) => node.startsWith('dm-'));
}

async function withKey(driveId: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof CommandError) || error.exitCode !== NO_PERMISSION) throw error;
    throw wrongKey(driveId);
  }
}
