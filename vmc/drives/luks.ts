/** cryptsetup(8). The key goes to its stdin and nowhere else. */
import { VmcError } from '../../shared/errors.ts';
import { CommandError, run } from '../../shared/run.ts';
import { withHeader } from './header-copy.ts';
import { mappingName } from './names.ts';
import { UNFINISHED_LABEL } from './parse-state.ts';

const TIMEOUT_MS = 120_000;
/** Exit codes of cryptsetup. */
const NO_PERMISSION = 2;
const BUSY = 5;

const inheriting = (lock: number | undefined) => (lock === undefined ? {} : { inherit: lock });

/** The key is 32 random bytes: there is nothing to stretch, so the slot's derivation is the cheapest that LUKS2 allows. */
export async function luksFormat(device: string, key: Uint8Array, lock?: number): Promise<void> {
  const args = [
    ['luksFormat', '--batch-mode', '--type', 'luks2'],
    ['--cipher', 'aes-xts-plain64', '--key-size', '512', '--sector-size', '4096'],
    ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--hash', 'sha256'],
    ['--label', UNFINISHED_LABEL, '--key-file', '-', device],
  ].flat();
  await run({ file: 'cryptsetup', args, stdin: key, timeoutMs: TIMEOUT_MS, ...inheriting(lock) });
}

/** @throws VmcError 'wrong-key', 'bad-data' for a header that vmc did not make. */
export async function luksOpen(
  driveId: string,
  device: string,
  key: Uint8Array,
  options: { readOnly: boolean },
): Promise<void> {
  // The queues help spinning disks behind many CPUs; in a VM they only cost.
  const args = (header: string) =>
    [
      ['open', '--type', 'luks2', '--allow-discards', '--perf-no_read_workqueue', '--perf-no_write_workqueue'],
      options.readOnly ? ['--readonly'] : [],
      ['--header', header, '--key-file', '-', device, mappingName(driveId)],
    ].flat();
  await withHeader(driveId, device, (header) =>
    withKey(driveId, () => run({ file: 'cryptsetup', args: args(header), stdin: key, timeoutMs: TIMEOUT_MS })),
  );
}

/** Whether the key fits, changing nothing. @throws VmcError 'wrong-key', 'bad-data' for a header that vmc did not make. */
export async function checkKey(driveId: string, device: string, key: Uint8Array): Promise<void> {
  const args = (header: string) => [
    ...['open', '--test-passphrase', '--type', 'luks2', '--header', header],
    ...['--key-file', '-', device],
  ];
  await withHeader(driveId, device, (header) =>
    withKey(driveId, () => run({ file: 'cryptsetup', args: args(header), stdin: key, timeoutMs: TIMEOUT_MS })),
  );
}

/** The open volume takes all of its device. It takes the key, as the kernel keeps it where cryptsetup does not find it again. @throws as `luksOpen`. */
export async function luksResize(driveId: string, device: string, key: Uint8Array): Promise<void> {
  const args = (header: string) => ['resize', '--header', header, '--key-file', '-', mappingName(driveId)];
  await withHeader(driveId, device, (header) =>
    withKey(driveId, () => run({ file: 'cryptsetup', args: args(header), stdin: key, timeoutMs: TIMEOUT_MS })),
  );
}

/** @throws VmcError 'busy' while something uses it. */
export async function luksClose(driveId: string): Promise<void> {
  try {
    await run({ file: 'cryptsetup', args: ['close', mappingName(driveId)], timeoutMs: TIMEOUT_MS });
  } catch (error) {
    if (!(error instanceof CommandError) || error.exitCode !== BUSY) throw error;
    throw new VmcError(
      'busy',
      `The drive ${driveId} is unmounted here, but something still uses it.`,
      'A process may have it mounted in a namespace of its own: end it, then close again.',
      { cause: error },
    );
  }
}

async function withKey(driveId: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof CommandError) || error.exitCode !== NO_PERMISSION) throw error;
    throw new VmcError(
      'wrong-key',
      `The key does not fit the drive ${driveId}.`,
      'Nothing was changed. Is it the key of another drive?',
    );
  }
}
