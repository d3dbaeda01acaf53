/** `vmc drive …`: drives by hand, as root in the VM. The key comes by a file descriptor. */
import type { Command } from 'commander';
import { type DriveStatus, fileSystemSchema } from '../shared/api/drive.ts';
import { driveCareMethods, MAX_FREEZE_SECONDS } from '../shared/api/drive-care.ts';
import { answer, humanBytes, table } from '../shared/cli/program.ts';
import { publicError, VmcError } from '../shared/errors.ts';
import { nameSchema } from '../shared/names.ts';
import type { CallContext } from '../shared/rpc/method.ts';
import type { CliDeps, CommonOptions } from './cli.ts';
import { withCommon } from './cli.ts';
import { addDriveKeyCommands } from './cli-drive-keys.ts';
import {
  driveId,
  KEY_HELP,
  PASSPHRASE_HELP,
  readKey,
  readUnlock,
  type UnlockOptions,
  valid,
} from './cli-drive-values.ts';
import { loadConfig } from './config.ts';
import type { Drives, Trimmed } from './drives/drives.ts';
import { secretOf } from './drives/unlock.ts';

type WithKey = CommonOptions & { keyFd: string };
type WithUnlock = CommonOptions & UnlockOptions;

export function addDriveCommands(program: Command, deps: CliDeps): void {
  const drive = program.command('drive').description('drives of this VM, by hand');
  /** At the console Ctrl-C ends the process, and what it runs. */
  const context = { signal: new AbortController().signal, progress: sayOnce((step) => deps.stderr.write(`${step}\n`)) };
  const show = (json: true | undefined, status: DriveStatus) => answer(deps, json, status, (it) => table([rowOf(it)]));

  withCommon(drive.command('list').description('every attached drive and its state')).action(
    async ({ config, json }: CommonOptions) => {
      const drives = await (await open(config, deps)).list();
      answer(deps, json, { drives }, () =>
        drives.length === 0 ? 'No drive is attached.' : table([HEADINGS, ...drives.map(rowOf)]),
      );
    },
  );
  withCommon(drive.command('format <id>').description('put LUKS2 and an empty file system on a blank drive'))
    .requiredOption('--key-fd <n>', KEY_HELP)
    .option('--file-system <kind>', 'ext4, xfs or btrfs', 'ext4')
    .option('--overwrite <id>', 'the id once more, to overwrite a drive that holds data')
    .action(async (id: string, options: WithKey & { fileSystem: string; overwrite?: string }) => {
      const fileSystem = valid(fileSystemSchema.safeParse(options.fileSystem), '--file-system');
      const request = { driveId: driveId(id), key: readKey(options.keyFd), fileSystem, overwrite: options.overwrite };
      show(options.json, await (await open(options.config, deps)).format(request, context));
    });
  withCommon(drive.command('open <id> <name>').description('unlock a drive and mount it under its name'))
    .option('--key-fd <n>', KEY_HELP)
    .option('--passphrase-fd <n>', PASSPHRASE_HELP)
    .option('--read-only', 'write nothing to it', false)
    .option('--repair', 'repair a damaged file system first, whatever that loses of it', false)
    .option('--lose-log', 'with --repair, of an xfs: without its latest changes', false)
    .action(async (id: string, name: string, options: WithUnlock & OpenOptions) => {
      const { readOnly, repair, loseLog } = options;
      if (loseLog && !repair) throw new VmcError('bad-request', '--lose-log goes with --repair.');
      const request = { driveId: driveId(id), name: valid(nameSchema.safeParse(name), 'the name'), readOnly };
      const how = repair ? (loseLog ? 'without-log' : 'full') : 'none';
      const drives = await open(options.config, deps);
      show(options.json, await drives.open({ ...request, key: secretOf(readUnlock(options)), repair: how }, context));
    });
  withCommon(drive.command('close <id>').description('unmount a drive and lock it')).action(
    async (id: string, { config, json }: CommonOptions) =>
      show(json, await (await open(config, deps)).close(driveId(id), context)),
  );
  withCommon(drive.command('grow <id>').description('take the room that the host has added; the drive stays mounted'))
    .requiredOption('--key-fd <n>', KEY_HELP)
    .action(async (id: string, options: WithKey) => {
      const request = { driveId: driveId(id), key: readKey(options.keyFd) };
      show(options.json, await (await open(options.config, deps)).grow(request, context));
    });
  withCommon(drive.command('settings <id>').description('what was chosen for a drive; --weekly-trim changes it'))
    .option('--weekly-trim <on|off>', 'whether the weekly trim includes it')
    .action(async (id: string, { config, json, weeklyTrim }: CommonOptions & { weeklyTrim?: string }) => {
      const drives = await open(config, deps);
      if (weeklyTrim !== undefined && !['on', 'off'].includes(weeklyTrim))
        throw new VmcError('bad-request', '--weekly-trim is on or off.');
      const status =
        weeklyTrim === undefined
          ? await drives.status(driveId(id))
          : await drives.configure(driveId(id), { weeklyTrim: weeklyTrim === 'on' }, context);
      answer(deps, json, status, () => `weekly trim: ${status.weeklyTrim === false ? 'off' : 'on'}`);
    });
  addTrimCommand(drive, deps, context);
  addFreezeCommands(drive, deps, context);
  addDriveKeyCommands(drive, deps, { open: (config) => open(config, deps), progress: context.progress, show });
}

interface OpenOptions {
  readOnly: boolean;
  repair: boolean;
  loseLog: boolean;
}

function addTrimCommand(drive: Command, deps: CliDeps, context: Context): void {
  withCommon(drive.command('trim [id]').description('give unused blocks back to the host'))
    .option('--all', 'every drive that is mounted read-write and whose weekly trim is on', false)
    .action(async (id: string | undefined, { config, json, all }: CommonOptions & { all: boolean }) => {
      if ((id === undefined) !== all)
        throw new VmcError('bad-request', 'Which drive? vmc drive trim takes an id, or --all.');
      const drives = await open(config, deps);
      if (id !== undefined) {
        const trimmedBytes = await drives.trim(driveId(id), context);
        answer(deps, json, { trimmedBytes }, () => `${humanBytes(trimmedBytes)} trimmed`);
        return;
      }
      const done = (await drives.trimAll(context)).map(({ error, ...it }) =>
        error === undefined ? it : { ...it, error: publicError(error) },
      );
      answer(deps, json, { drives: done }, () => done.map(trimLine).join('\n'));
      const failed = done.filter((it) => 'error' in it);
      if (failed.length > 0)
        throw new VmcError('command-failed', `${failed.length} of ${done.length} drives were not trimmed.`);
    });
}

const trimLine = ({ driveId, trimmedBytes, error }: Trimmed & { error?: { message: string } }) =>
  `${driveId}  ${error === undefined ? `${humanBytes(trimmedBytes ?? 0)} trimmed` : error.message}`;

function addFreezeCommands(drive: Command, deps: CliDeps, context: Context): void {
  withCommon(drive.command('freeze <id>').description('bring its file system to rest for a snapshot: writers wait'))
    .option('--seconds <n>', `until it thaws by itself, at most ${MAX_FREEZE_SECONDS}`, '10')
    .action(async (id: string, { config, json, seconds: text }: CommonOptions & { seconds: string }) => {
      const schema = driveCareMethods.driveFreeze.params.shape.seconds;
      const seconds = valid(schema.safeParse(Number(text)), '--seconds');
      const frozenUntil = await (await open(config, deps)).freeze(driveId(id), seconds, context);
      answer(deps, json, { frozenUntil }, () => `frozen until ${new Date(frozenUntil).toISOString()}`);
    });
  withCommon(drive.command('thaw <id>').description('let writers go on')).action(
    async (id: string, { config, json }: CommonOptions) => {
      const wasFrozen = await (await open(config, deps)).thaw(driveId(id), context);
      answer(deps, json, { wasFrozen }, () => (wasFrozen ? 'thawed' : 'it was not frozen any more'));
    },
  );
}

type Context = Pick<CallContext, 'progress' | 'signal'>;

/** Says each step once, however often its progress is told. */
function sayOnce(say: (step: string) => void): Context['progress'] {
  let last: string | undefined;
  return ({ step }) => {
    if (step !== last) say(step);
    last = step;
  };
}

const HEADINGS = ['drive', 'state', 'size', 'free', 'file system', 'where'];

const rowOf = (it: DriveStatus): string[] => [
  it.driveId,
  it.state,
  it.sizeBytes === undefined ? '' : humanBytes(it.sizeBytes),
  it.freeBytes === undefined ? '' : humanBytes(it.freeBytes),
  it.fileSystem ?? '',
  it.problem ?? `${it.mountPoint ?? ''}${it.readOnly === true ? ' (read-only)' : ''}`,
];

async function open(config: string, deps: CliDeps): Promise<Drives> {
  const { drives, stateDir } = await loadConfig(config);
  const { Drives } = await import('./drives/drives.ts');
  const { drivesGid } = await import('./accounts/drives-group.ts');
  return new Drives({
    mountRoot: drives.mountRoot,
    stateDir,
    clock: Date.now,
    peopleGid: drivesGid,
    onChecked: (_, { tool, said }) => deps.stderr.write(said.map((line) => `${tool}: ${line}\n`).join('')),
    onUndoFailed: (what) => deps.stderr.write(`vmc: this could not be undone: ${what}\n`),
  });
}
