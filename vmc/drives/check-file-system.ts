/**
 * A file system that was left in the middle of something is checked before anybody writes to it. ext4: e2fsck -p plays its
 * journal and repairs what needs no decision. xfs: mounting plays its log, then it is looked through. btrfs: each of its
 * states on the disk is whole; mounting plays its log.
 */
import type { DriveStatus, FileSystem } from '../../shared/api/drive.ts';
import { VmcError } from '../../shared/errors.ts';
import type { CallContext } from '../../shared/rpc/method.ts';
import { type Command, CommandError, type CommandResult, run } from '../../shared/run.ts';
import { lastWords, parseXfsLogDirty } from './parse-tools.ts';

export type Check = NonNullable<DriveStatus['check']>;

/** Large and broken file systems take hours. It can be cancelled at any time, and begun again. */
const TIMEOUT_MS = 24 * 3_600_000;
/** What xfs_logprint prints of a clean log is short. */
const CLEAN_LOG_BYTES = 64 * 1024;

export interface CheckRequest extends Pick<CallContext, 'progress' | 'signal'> {
  driveId: string;
  /** The open volume. */
  path: string;
  fileSystem: FileSystem;
  dirty: boolean | undefined;
  /** full: whatever is wrong is put right, whatever that loses. without-log: and the last changes of an xfs, too. */
  repair: 'none' | 'full' | 'without-log';
  /** Mounts the file system and unmounts it again. */
  replay: () => Promise<void>;
  /** Inherited by what writes. */
  lock: number;
}

/** @returns undefined when it was left in order. @throws VmcError 'bad-data' when it is damaged, 'cancelled'. */
export async function checkFileSystem(request: CheckRequest): Promise<Check | undefined> {
  switch (request.fileSystem) {
    case 'ext4':
      return checkExt4(request);
    case 'xfs':
      return checkXfs(request);
    case 'btrfs':
      return checkBtrfs(request);
    default:
      return request.fileSystem satisfies never;
  }
}

async function checkExt4(request: CheckRequest): Promise<Check | undefined> {
  const { path, repair, dirty } = request;
  if (repair === 'none' && dirty === false) return undefined;
  const how = repair === 'none' ? ['-p'] : ['-f', '-y'];
  // e2fsck(8): 1 and 2 say that something was put right, 4 and more that it was not.
  const { exitCode, stdout } = await tool(request, { file: 'e2fsck', args: [...how, path] }, [0, 1, 2, 3, 4, 5, 6, 7]);
  if (exitCode >= 4) throw damaged(request, 'e2fsck', stdout);
  return { tool: 'e2fsck', repaired: exitCode > 0, said: lastWords(stdout) };
}

async function checkXfs(request: CheckRequest): Promise<Check | undefined> {
  const { path, repair, replay } = request;
  const wasDirty = await isXfsLogDirty(path);
  if (repair === 'none' && !wasDirty) return undefined;
  const replayed = wasDirty && repair !== 'without-log' && (await played(replay));
  if (repair !== 'none') {
    const args = [...(repair === 'without-log' ? ['-L'] : []), path];
    const { exitCode, stdout, stderr } = await tool(request, { file: 'xfs_repair', args }, [0, 1, 2]);
    if (exitCode === 2)
      throw new VmcError(
        'bad-data',
        `The log of the file system of ${request.driveId} cannot be played, and without it the latest changes would be lost.`,
        `As root in the VM, if that must be: vmc drive open ${request.driveId} NAME --repair --lose-log`,
      );
    if (exitCode !== 0) throw damaged(request, 'xfs_repair', stdout + stderr);
    return { tool: 'xfs_repair', repaired: true, said: lastWords(stdout + stderr) };
  }
  if (!replayed) throw damaged(request, 'mount', 'its log cannot be played');
  const { exitCode, stdout, stderr } = await tool(request, { file: 'xfs_repair', args: ['-n', path] }, [0, 1, 2]);
  if (exitCode !== 0) throw damaged(request, 'xfs_repair -n', stdout + stderr);
  return { tool: 'xfs_repair -n', repaired: false, said: ['its log was played'] };
}

async function checkBtrfs({ driveId, repair, dirty }: CheckRequest): Promise<Check | undefined> {
  if (repair !== 'none')
    throw new VmcError(
      'wrong-state',
      `A btrfs is not repaired by vmc: what repairs it may destroy it (${driveId}).`,
      'Open it read-only and copy what is there, or restore a snapshot.',
    );
  return dirty === true ? { tool: 'mount', repaired: false, said: ['its log was played'] } : undefined;
}

async function isXfsLogDirty(path: string): Promise<boolean> {
  const command = { file: 'xfs_logprint', args: ['-t', path], timeoutMs: 10 * 60_000, maxOutputBytes: CLEAN_LOG_BYTES };
  try {
    return parseXfsLogDirty((await run(command)).stdout) ?? true;
  } catch (error) {
    if (error instanceof CommandError && ['output', 'exit', 'signal'].includes(error.reason)) return true;
    throw error;
  }
}

async function played(replay: () => Promise<void>): Promise<boolean> {
  try {
    await replay();
    return true;
  } catch (error) {
    if (error instanceof CommandError && error.reason === 'exit') return false;
    throw error;
  }
}

function tool(
  { progress, signal, lock }: CheckRequest,
  command: Pick<Command, 'file' | 'args'>,
  okExitCodes: number[],
): Promise<CommandResult> {
  progress({ step: 'checking the file system' });
  return run({ ...command, timeoutMs: TIMEOUT_MS, signal, inherit: lock, okExitCodes });
}

/** @param said by whoever found it. */
export function damaged(
  { driveId, repair }: { driveId: string; repair: string },
  tool: string,
  said: string,
): VmcError {
  return new VmcError(
    'bad-data',
    `The file system of the drive ${driveId} is damaged: ${tool} says: ${lastWords(said).slice(-3).join(' ')}`,
    repair === 'none'
      ? 'It was not mounted. Make a snapshot of it, then open it with --repair, which may lose what is damaged; or open it read-only.'
      : 'It could not be repaired. Open it read-only and copy what is there, or restore a snapshot.',
  );
}
