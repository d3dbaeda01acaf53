/** Drives inside the VM they are attached to: format, open, close, settings. */
import { type Command, Option } from 'commander';
import { type DriveStatus, driveMethods, type FileSystem, fileSystemSchema } from '../../shared/api/drive.ts';
import { driveCareMethods } from '../../shared/api/drive-care.ts';
import { VmcError } from '../../shared/errors.ts';
import { nameSchema, toBase64 } from '../../shared/names.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import type { Control } from '../control.ts';
import { type ConnectIo, reply } from '../io.ts';
import { checked } from '../options.ts';
import { type Session, withSession } from '../session.ts';
import type { TrustOptions } from '../vm/person.ts';
import { driveName, findDrive } from './find.ts';
import { keepHeader } from './header-backup.ts';
import { callVm, callVmWithProgress, insideVm, LONGEST_WORK_MS } from './in-vm.ts';
import { withDriveKey, withKeyForFormat } from './key.ts';
import { statusLine } from './text.ts';
import { addTrimCommand } from './trim-command.ts';

interface OpenOptions extends TrustOptions {
  as?: string;
  ro?: boolean;
  repair?: boolean;
  vm?: string;
  json?: boolean;
}

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
        reply(io, options.json, status, () => statusLine(driveName(drive), status));
      }),
    );

  drives
    .command('open')
    .description('Unlock a drive in its VM and mount it under /mnt. What was not left in order is checked first')
    .argument('<drive>', 'name or id')
    .option('--as <name>', "folder under /mnt (default: the drive's name)")
    .option('--ro', 'read-only')
    .option('--repair', 'repair a damaged file system first, whatever that loses of it')
    .option('--vm <vm>', 'in which VM, when several have it')
    .option('--fingerprint <fingerprint>', 'of who shared it: what "connect fingerprint" prints for them, SHA256:…')
    .option('--yes', "take the backend's word for their key when this device does not know it yet")
    .option('--json', 'answer as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  connect drive open data --as results\n  connect drive open data@ada --fingerprint SHA256:Jl3…',
    )
    .action((wanted: string, options: OpenOptions, command: Command) => {
      const as = options.as === undefined ? undefined : checked(nameSchema, options.as, '--as');
      return withSession(io, command, async (session) => {
        const drive = await findDrive(session, wanted);
        const status = await open(session, drive, as ?? drive.name, options);
        reply(io, options.json, status, () => statusLine(driveName(drive), status));
      });
    });

  drives
    .command('close')
    .description('Unmount a drive in its VM and lock it. Says who holds it when it is busy')
    .argument('<drive>', 'name or id')
    .option('--vm <vm>', 'in which VM, when several have it')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive close data')
    .action((wanted: string, { vm, json }: { vm?: string; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findDrive(session, wanted);
        const status = await insideVm(session, drive, { vm }, ({ rpc }) => closeDrive(session, rpc, drive.driveId));
        reply(io, json, status, () => statusLine(driveName(drive), status));
      }),
    );

  addTrimCommand(drives, io);

  drives
    .command('settings')
    .description('How a VM treats a drive')
    .argument('<drive>', 'name or id')
    .addOption(
      new Option('--weekly-trim <switch>', 'give unused blocks back every week')
        .choices(['on', 'off'])
        .makeOptionMandatory(),
    )
    .option('--vm <vm>', 'in which VM, when several have it')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive settings data --weekly-trim off')
    .action((wanted: string, options: { weeklyTrim: string; vm?: string; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findDrive(session, wanted);
        const params = { driveId: drive.driveId, weeklyTrim: options.weeklyTrim === 'on' };
        const status = await insideVm(session, drive, { vm: options.vm }, ({ rpc }) =>
          callVm(session, rpc, driveCareMethods.driveSettings, params),
        );
        reply(io, options.json, status, () => statusLine(driveName(drive), status));
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
      `--overwrite says ${JSON.stringify(overwrite)}, but the id of ${driveName(drive)} is ${driveId}.`,
      'Nothing was changed.',
    );
  return insideVm(session, drive, { sendsKey: true }, async ({ rpc }) => {
    const status = await withKeyForFormat(session, drive, (key) => {
      const params = { driveId, key: toBase64(key), fileSystem, ...(overwrite === undefined ? {} : { overwrite }) };
      return callVmWithProgress(session, rpc, driveMethods.driveFormat, params);
    });
    await keepHeader(session, rpc, drive);
    return status;
  });
}

function open(session: Session, drive: Drive, name: string, options: OpenOptions): Promise<DriveStatus> {
  const { driveId } = drive;
  return insideVm(session, drive, { vm: options.vm, sendsKey: true }, ({ rpc, readOnly }) =>
    withDriveKey(
      session,
      drive,
      (key) =>
        callVmWithProgress(
          session,
          rpc,
          driveMethods.driveOpen,
          {
            ...{ driveId, key: toBase64(key), name },
            readOnly: options.ro === true || readOnly,
            repair: options.repair === true,
          },
          LONGEST_WORK_MS,
        ),
      options,
    ),
  );
}

/** @param leaving it is detached next. */
export function closeDrive(session: Session, rpc: Control, driveId: string, leaving = false): Promise<DriveStatus> {
  return callVm(session, rpc, driveMethods.driveClose, { driveId, leaving });
}
