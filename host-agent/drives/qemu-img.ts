/** qemu-img: making, measuring, copying disk files. https://www.qemu.org/docs/master/tools/qemu-img.html */
import type { DriveCheck } from '../../shared/agent-api/drive-files.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Progress } from '../../shared/rpc/method.ts';
import { CommandError, type CommandResult, run } from '../../shared/run.ts';
import { inUse } from './file-holders.ts';
import { type ImageInfo, imageTrouble, parseImageCheck, parseImageInfo, parsePercent } from './parse-qemu-img.ts';
import { type Allocation, imageOptions } from './tuning.ts';

export { parseImageInfo } from './parse-qemu-img.ts';

const TIMEOUT_MS = 60_000;
/** What reads or writes a whole file takes as long as it takes; whoever asked can cancel it. */
const LONG_MS = 7 * 24 * 3_600_000;

export type Format = 'qcow2' | 'raw';

/** Of work that may take long. */
export interface Work {
  signal?: AbortSignal;
  progress?: (progress: Progress) => void;
}

interface QemuImgOptions extends Work {
  /** The file that a lock or a lack of space is about. */
  path: string;
  long?: boolean;
  okExitCodes?: readonly number[];
  /** Printed by -p: with the step's name and the bytes that 100 % are. */
  step?: { name: string; totalBytes: number };
}

/** @throws VmcError 'busy' when somebody has the file open, 'no-space', 'cancelled'; CommandError for the rest. */
async function qemuImg(args: readonly string[], options: QemuImgOptions): Promise<CommandResult> {
  const { step, progress, signal } = options;
  try {
    return await run({
      // An agent that ends must not leave a writer behind.
      file: 'setpriv',
      args: ['--pdeathsig', 'KILL', 'qemu-img', ...args],
      timeoutMs: options.long === true ? LONG_MS : TIMEOUT_MS,
      ...(options.okExitCodes === undefined ? {} : { okExitCodes: options.okExitCodes }),
      ...(signal === undefined ? {} : { signal }),
      ...(step === undefined || progress === undefined ? {} : { onStdout: tell(step, progress) }),
    });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const trouble = imageTrouble(error.stderr);
    if (trouble === 'locked') throw await inUse(options.path, error);
    if (trouble === 'no-space') throw fullPool(options.path, error);
    throw error;
  }
}

function fullPool(path: string, cause: unknown): VmcError {
  return new VmcError('no-space', `There was not enough space for ${path}.`, 'Free some in its pool.', { cause });
}

function tell(step: { name: string; totalBytes: number }, progress: (progress: Progress) => void) {
  let last = -1;
  return (text: string): void => {
    const percent = parsePercent(text);
    if (percent === undefined || Math.floor(percent) <= last) return;
    last = Math.floor(percent);
    const done = Math.floor((step.totalBytes * percent) / 100);
    progress({ step: step.name, done, total: step.totalBytes, unit: 'bytes' });
  };
}

/** @param format is told, never guessed: in a raw file, which format it looks like is for the guest to write. */
export async function imageInfo(path: string, format: Format): Promise<ImageInfo> {
  // -U: a running machine holds the file's lock, and reading its size does no harm.
  const { stdout } = await qemuImg(['info', '--output=json', '-U', '-f', format, path], { path });
  return parseImageInfo(stdout);
}

/** Blank. With 'falloc' or 'full' it takes its space at once; the caller watches it grow. */
export async function createImage(
  path: string,
  format: Format,
  sizeBytes: number,
  allocation: Allocation = 'sparse',
  work: Work = {},
): Promise<void> {
  const args = ['create', '-q', '-f', format, '-o', imageOptions(format, allocation), path, String(sizeBytes)];
  await qemuImg(args, { path, long: allocation !== 'sparse', ...work });
}

/** A qcow2 file that holds only what differs from `base`, itself qcow2. */
export async function createOverlay(path: string, base: string): Promise<void> {
  await qemuImg(['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', base, path], { path });
}

/** Larger only. Of a file that nobody has open. @throws VmcError 'busy'. */
export async function growImage(
  path: string,
  format: Format,
  sizeBytes: number,
  allocation: Allocation,
): Promise<void> {
  const preallocation = `--preallocation=${allocation === 'sparse' ? 'off' : allocation}`;
  await qemuImg(['resize', '-q', '-f', format, preallocation, path, String(sizeBytes)], {
    path,
    long: allocation !== 'sparse',
  });
}

export interface ImageCopy {
  from: string;
  fromFormat: Format;
  to: string;
  toFormat: Format;
  allocation: Allocation;
  sizeBytes: number;
}

/** What is a hole or zero in the one is a hole in the other, unless its space is set aside. @throws VmcError 'busy', 'no-space', 'cancelled'. */
export async function copyImage(copy: ImageCopy, work: Work): Promise<void> {
  const { from, to, fromFormat, toFormat } = copy;
  const options = ['-o', imageOptions(toFormat, copy.allocation), '-t', 'writeback'];
  await qemuImg(['convert', '-p', '-f', fromFormat, '-O', toFormat, ...options, from, to], {
    path: from,
    long: true,
    step: { name: 'copy', totalBytes: copy.sizeBytes },
    ...work,
  });
}

/** Reads both from end to end. @returns whether a guest would see the same. @throws VmcError 'busy', 'cancelled', 'command-failed' (cannot be read). */
export async function sameContent(copy: ImageCopy, step: string, work: Work): Promise<boolean> {
  const { from, to, fromFormat, toFormat } = copy;
  const { exitCode } = await qemuImg(['compare', '-p', '-f', fromFormat, '-F', toFormat, from, to], {
    path: from,
    long: true,
    okExitCodes: [0, 1],
    step: { name: step, totalBytes: copy.sizeBytes },
    ...work,
  });
  return exitCode === 0;
}

/** Of a qcow2 file's own tables. @param repair gives leaked clusters back; nothing else is touched. */
export async function checkImage(path: string, repair: boolean, work: Work): Promise<DriveCheck> {
  const args = ['check', '--output=json', '-f', 'qcow2', ...(repair ? ['-r', 'leaks'] : []), path];
  const { stdout } = await qemuImg(args, { path, long: true, okExitCodes: [0, 2, 3], ...work });
  return parseImageCheck(stdout);
}

/**
 * A tool that only reads a raw file (cp, or `qemu-io -r`) takes no lock and is not seen; what it has open it goes on reading.
 * @throws VmcError 'busy' when a machine has it, or a tool that writes, on this host or another: QEMU's image locks say so.
 */
export async function requireUnused(path: string): Promise<void> {
  try {
    // Opened to write, as raw, so that nothing is read or written: only the locks are tried.
    await run({ file: 'qemu-io', args: ['-f', 'raw', '-c', 'quit', path], timeoutMs: TIMEOUT_MS });
  } catch (error) {
    if (error instanceof CommandError && imageTrouble(error.stderr) === 'locked') throw await inUse(path, error);
    throw error;
  }
}
