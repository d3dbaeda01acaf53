/** What opens a drive, and which of its key slots that is. */
import { readFile } from 'node:fs/promises';
import type { DriveUnlock } from '../../shared/api/drive-keys.ts';
import { utf8 } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { run } from '../../shared/run.ts';
import { parseMemAvailable, parseUnlockedSlot } from './parse-key-tools.ts';
import type { CheckedHeader, Slot } from './parse-luks-header.ts';

const TIMEOUT_MS = 120_000;
/** Exit code of cryptsetup. */
const NO_PERMISSION = 2;
/** What is left to the VM while a passphrase is tried. */
const SPARE_BYTES = 64 * 1024 * 1024;

export interface Secret {
  kind: 'key' | 'passphrase';
  bytes: Uint8Array;
}

/** Bytes alone are a key. */
export const asSecret = (secret: Uint8Array | Secret): Secret =>
  secret instanceof Uint8Array ? { kind: 'key', bytes: secret } : secret;

export const secretOf = (unlock: DriveUnlock): Secret =>
  'key' in unlock ? { kind: 'key', bytes: unlock.key } : { kind: 'passphrase', bytes: utf8(unlock.passphrase) };

/**
 * Which slots are tried with a secret, in turn: those of its own kind first, as an argon2id slot costs seconds and memory.
 * @returns groups; `slots` undefined: all at once, as cryptsetup tries them. Slots that want more memory than there is are left out.
 */
export function planUnlock(
  slots: readonly Slot[],
  kind: Secret['kind'],
  availableBytes: number,
): (number | undefined)[] {
  const affordable = slots.filter(
    ({ memoryBytes }) => memoryBytes === 0 || memoryBytes + SPARE_BYTES <= availableBytes,
  );
  if (affordable.length === slots.length && slots.every((slot) => slot.kind === slots[0]?.kind)) return [undefined];
  const fitting = (slot: Slot) => slot.kind === kind;
  return [...affordable.filter(fitting), ...affordable.filter((slot) => !fitting(slot))].map(({ slot }) => slot);
}

/** @param header a checked copy. @throws VmcError 'wrong-key'; 'no-space' when a passphrase could not be tried. */
export async function unlockedSlot(
  driveId: string,
  header: string,
  checked: CheckedHeader,
  { kind, bytes }: Secret,
): Promise<number> {
  const { slots } = checked;
  const availableBytes = slots.some(({ memoryBytes }) => memoryBytes > 0)
    ? parseMemAvailable(await readFile('/proc/meminfo', 'utf8'))
    : 0;
  for (const slot of planUnlock(slots, kind, availableBytes)) {
    const { exitCode, stdout } = await run({
      file: 'cryptsetup',
      args: [
        ...['open', '--test-passphrase', '--verbose', '--type', 'luks2', '--key-file', '-'],
        ...(slot === undefined ? [] : ['--key-slot', String(slot)]),
        header,
      ],
      stdin: bytes,
      okExitCodes: [0, NO_PERMISSION],
      timeoutMs: TIMEOUT_MS,
    });
    if (exitCode !== 0) continue;
    const opened = parseUnlockedSlot(stdout);
    if (opened === undefined) throw new VmcError('command-failed', 'cryptsetup did not say which key slot it opened.');
    return opened;
  }
  const tooBig = slots.find(({ memoryBytes }) => memoryBytes > 0 && memoryBytes + SPARE_BYTES > availableBytes);
  if (kind === 'passphrase' && tooBig !== undefined)
    throw new VmcError(
      'no-space',
      `The passphrase of slot ${tooBig.slot} takes ${Math.ceil(tooBig.memoryBytes / 2 ** 20)} MiB of memory to try, more than is free in this VM.`,
      'End programs, or give the VM more memory; the key opens the drive as it is.',
    );
  throw wrongKey(driveId);
}

/** Says no more than that: not which slots there are, nor how near it was. */
export const wrongKey = (driveId: string): VmcError =>
  new VmcError(
    'wrong-key',
    `The key does not fit the drive ${driveId}.`,
    'Nothing was changed. Is it the key of another drive?',
  );
