/** vmc's own drives, for programs in the VM: the same code as the daemon's, without the daemon. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { VmcError } from '../../../shared/errors.ts';
import { Drives } from '../../../vmc/drives/drives.ts';

export const STATE_FOLDER = '/run/vmc-guest/state';

/** One thing that is done to a drive. */
export interface Work {
  do: 'format' | 'open' | 'close' | 'grow' | 'trim' | 'freeze' | 'thaw' | 'settings';
  driveId: string;
  /** Base64. */
  key: string;
  fileSystem?: 'ext4' | 'xfs' | 'btrfs';
  overwrite?: string;
  readOnly?: boolean;
  repair?: 'full' | 'without-log';
  seconds?: number;
  weeklyTrim?: boolean;
}

export const context = { signal: new AbortController().signal, progress: () => {} };

export function makeDrives(): Drives {
  mkdirSync(STATE_FOLDER, { recursive: true });
  return new Drives({
    mountRoot: '/mnt',
    stateDir: STATE_FOLDER,
    peopleGid: async () => 0,
    clock: Date.now,
    onUndoFailed: (what) => process.stderr.write(`not undone: ${what}\n`),
  });
}

/** Mounted, a drive is /mnt/<its id>. */
export function doWork(drives: Drives, work: Work): Promise<unknown> {
  const { driveId, fileSystem = 'ext4', readOnly = false, repair = 'none', overwrite } = work;
  const key = Buffer.from(work.key, 'base64');
  switch (work.do) {
    case 'format':
      return drives.format({ driveId, key, fileSystem, overwrite }, context);
    case 'open':
      return drives.open({ driveId, key, name: driveId, readOnly, repair }, context);
    case 'close':
      return drives.close(driveId, context);
    case 'grow':
      return drives.grow({ driveId, key }, context);
    case 'trim':
      return drives.trim(driveId, context);
    case 'freeze':
      return drives.freeze(driveId, work.seconds ?? 20, context);
    case 'thaw':
      return drives.thaw(driveId, context);
    case 'settings':
      return drives.configure(driveId, { weeklyTrim: work.weeklyTrim ?? true }, context);
    default:
      return work.do satisfies never;
  }
}

/** A command typed by hand. @returns its stdout. @throws when it ends with another code. */
export function byHand(argv: string[], { input, codes = [0] }: { input?: Uint8Array; codes?: number[] } = {}): string {
  const [file = '', ...args] = argv;
  const { status, stdout, stderr, error } = spawnSync(file, args, { ...(input === undefined ? {} : { input }) });
  if (status !== null && codes.includes(status)) return stdout.toString();
  throw new VmcError('command-failed', `${argv.join(' ')}: ${status ?? error} ${stderr}`);
}
