/** Drives inside the VM they are attached to: format, open, close, trim; and detach, which closes first. */
import { type Command, Option } from 'commander';
import { type DriveStatus, type FileSystem, fileSystemSchema } from '../../shared/api/drive.ts';
import { controlMethods } from '../../shared/api/index.ts';
import { humanBytes } from '../../shared/cli/program.ts';
import { VmcError } from '../../shared/errors.ts';
import { nameSchema, toBase64 } from '../../shared/names.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import { withControl } from '../channel.ts';
import type { Control } from '../control.ts';
import { type ConnectIo, reply } from '../io.ts';
import { checked } from '../options.ts';
import { progressLine } from '../progress.ts';
import { ask, type Session, withSession } from '../session.ts';
import { findDrive, vmOfDrive } from './find.ts';
import { withDriveKey, withKeyForFormat } from './key.ts';
import { driveLine, shownDrive, statusLine } from './text.ts';

/** mkfs and fstrim of a large drive on a slow disk. */
const LONG_WORK_MS = 30 * 60_000;
const SHORT_WORK_MS = 120_000;
/** More than the backend itself waits for a host. */
const HOST_WORK_MS = 330_000;

export function addInsideCommands(drives: Command, io: ConnectIo): void {
  drives
    .command('format')
    .description('Encrypt a blank drive with a new key and make a file system. The key is made on this device')
    .argument('<drive>', 'name or id')
    .addOption(new Option('--fs <type>', 'file system').choices(fileSystemSchema.options).default('ext4'))
    .option('--overwrite <id>', "the drive's id, drv…: destroy what is on it")
    .option('--json', 'answer as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  connect drive format data\n  connect drive format data --overwrite drv0123456789abcdef',
    )
    .action((wanted: string, options: { fs: string; overwrite?: string; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findDrive(session, wanted);
        const status = await format(session, drive, fileSystemSchema.parse(options.fs), options.overwrite);
        reply(io, options.json, status, () => statusLine(drive.name, status));
      }),
    );

  drives
    .command('open')
    .description('Unlock a drive in its VM and mount it under /mnt')
    .argument('<drive>', 'name or id')
    .option('--as <name>', "folder under /mnt (default: the drive's name)")
    .option('--ro', 'read-only')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive open data --as results')
    .action((wanted: string, options: { as?: string; ro?: boolean; json?: boolean }, command: Command) => {
      const as = options.as === undefined ? undefined : checked(nameSchema, options.as, '--as');
      return withSession(io, command, async (session) => {
        const drive = await findDrive(session, wanted);
        const readOnly = options.ro === true || drive.readOnly === true;
        const status = await open(session, drive, as ?? drive.name, readOnly);
        reply(io, options.json, status, () => statusLine(drive.name, status));
      });
    });

  drives
    .command('close')
    .description('Unmount a drive in its VM and lock it. Says who holds it when it is busy')
    .argument('<drive>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive close data')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findDrive(session, wanted);
        const vm = await vmOfDrive(session, drive);
        const status = await withControl(session, vm, (rpc) => close(session, rpc, drive));
        reply(io, json, status, () => statusLine(drive.name, status));
      }),
    );

  drives
    .command('detach')
    .description('Close a drive in its VM, then detach it')
    .argument('<drive>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive detach data')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const detached = await detach(session, await findDrive(session, wanted));
        reply(io, json, shownDrive(detached), driveLine);
      }),
    );

  drives
    .command('trim')
    .description('Give unused blocks of a mounted drive back to the host, and prove it by the host’s own figure')
    .argument('<drive>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive trim data')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findDrive(session, wanted);
        const figures = await trim(session, drive);
        reply(
          io,
          json,
          figures,
          () =>
            `${drive.name}  fstrim: ${humanBytes(figures.trimmedBytes)} · on the host: ${humanBytes(figures.allocatedBefore)} before, ${humanBytes(figures.allocatedAfter)} after`,
        );
      }),
    );
}

async function format(
  session: Session,
  drive: Drive,
  fileSystem: FileSystem,
  overwrite: string | undefined,
): Promise<DriveStatus> {
  const { driveId } = drive;
  if (overwrite !== undefined && overwrite !== driveId)
    throw new VmcError(
      'bad-request',
      `--overwrite says ${JSON.stringify(overwrite)}, but the id of ${drive.name} is ${driveId}.`,
      'Nothing was changed.',
    );
  const vm = await vmOfDrive(session, drive);
  const work = (rpc: Control) =>
    withKeyForFormat(session, drive, async (key) => {
      const line = progressLine(session.io);
      const params = { driveId, key: toBase64(key), fileSystem, ...(overwrite === undefined ? {} : { overwrite }) };
      return rpc
        .call(controlMethods.driveFormat, params, {
          signal: session.io.signal,
          timeoutMs: LONG_WORK_MS,
          onProgress: line.show,
        })
        .finally(line.end);
    });
  return withControl(session, vm, work, { refuseStrangers: true });
}

async function open(session: Session, drive: Drive, name: string, readOnly: boolean): Promise<DriveStatus> {
  const vm = await vmOfDrive(session, drive);
  const work = (rpc: Control) =>
    withDriveKey(session, drive, (key) =>
      rpc.call(
        controlMethods.driveOpen,
        { driveId: drive.driveId, key: toBase64(key), name, readOnly },
        { signal: session.io.signal, timeoutMs: SHORT_WORK_MS },
      ),
    );
  return withControl(session, vm, work, { refuseStrangers: true });
}

function close(session: Session, rpc: Control, { driveId }: Drive): Promise<DriveStatus> {
  return rpc.call(controlMethods.driveClose, { driveId }, { signal: session.io.signal, timeoutMs: SHORT_WORK_MS });
}

/** Whatever holds the drive in the VM ends it here, before the host takes the disk away. */
async function detach(session: Session, drive: Drive): Promise<Drive> {
  const vm = await vmOfDrive(session, drive);
  if (vm.state !== 'off' && vm.state !== 'absent')
    await withControl(session, vm, async (rpc) => {
      const { drives } = await rpc.call(controlMethods.driveList, {}, { signal: session.io.signal });
      const state = drives.find(({ driveId }) => driveId === drive.driveId)?.state;
      if (state === 'open' || state === 'mounted') await close(session, rpc, drive);
    });
  return ask(session, routes.driveDetach, { params: { driveId: drive.driveId }, body: {} }, HOST_WORK_MS);
}

async function trim(session: Session, drive: Drive) {
  const { driveId } = drive;
  const allocated = async () =>
    (await ask(session, routes.driveUsage, { params: { driveId }, body: {} })).allocatedBytes;
  const vm = await vmOfDrive(session, drive);
  const line = progressLine(session.io);
  line.show({ step: `${drive.name}: trimming` });
  try {
    const allocatedBefore = await allocated();
    const { trimmedBytes } = await withControl(session, vm, (rpc) =>
      rpc.call(controlMethods.driveTrim, { driveId }, { signal: session.io.signal, timeoutMs: LONG_WORK_MS }),
    );
    return { driveId, trimmedBytes, allocatedBefore, allocatedAfter: await allocated() };
  } finally {
    line.end();
  }
}
