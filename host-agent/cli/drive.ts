/** `host-agent drive …` */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { type DriveFile, driveSizeSchema } from '../../shared/agent-api/index.ts';
import { answer, humanBytes, parseBytes, table } from '../../shared/cli/program.ts';
import { VmcError } from '../../shared/errors.ts';
import { createDrive, deleteDrive, driveInfo, listDrives } from '../drives/drives.ts';
import { attachDrive, detachDrive } from '../vms/attach.ts';
import { formatSchema, parseDriveId, parsed, parseVmId } from './parse.ts';
import type { CliContext, JsonOption } from './program.ts';
import { vmLines } from './vm.ts';

const driveLines = (drives: readonly DriveFile[]): string =>
  table([
    ['DRIVE', 'FORMAT', 'SIZE', 'ON DISK', 'ATTACHED TO'],
    ...drives.map((it) => [
      it.driveId,
      it.format,
      humanBytes(it.sizeBytes),
      humanBytes(it.allocatedBytes),
      it.attachedTo ?? '-',
    ]),
  ]);

export function addDriveCommands(program: Command, { io, host }: CliContext): void {
  const drive = program.command('drive').description('drive files');

  drive
    .command('create')
    .description('make a blank drive')
    .argument('<size>', 'such as 20GiB')
    .option('--id <id>', 'its id (default: a new one)', parseDriveId)
    .option('--format <format>', 'qcow2 or raw', 'qcow2')
    .option('--json', 'as JSON')
    .action(async (size: string, options: JsonOption & { id?: string; format: string }) => {
      const made = await createDrive(await host(), {
        driveId: options.id ?? `drv${randomBytes(8).toString('hex')}`,
        format: parsed(formatSchema, options.format),
        sizeBytes: parsed(driveSizeSchema, parseBytes(size)),
      });
      answer(io, options.json, made, () => driveLines([made]));
    });

  drive
    .command('list')
    .description('all drives of this host')
    .option('--json', 'as JSON')
    .action(async (options: JsonOption) => {
      answer(io, options.json, await listDrives(await host()), driveLines);
    });

  drive
    .command('info')
    .description('one drive: its size, and what it takes on the disk now')
    .argument('<drive>', 'its id', parseDriveId)
    .option('--json', 'as JSON')
    .action(async (id: string, options: JsonOption) => {
      answer(io, options.json, await driveInfo(await host(), id), (it) => driveLines([it]));
    });

  drive
    .command('attach')
    .description('give a drive to a VM, live if it runs')
    .argument('<drive>', 'its id', parseDriveId)
    .argument('<vm>', "the VM's id", parseVmId)
    .option('--read-only', 'the VM may not write to it')
    .option('--json', 'as JSON')
    .action(async (id: string, vmId: string, options: JsonOption & { readOnly?: boolean }) => {
      const status = await attachDrive(await host(), id, vmId, options.readOnly === true);
      answer(io, options.json, status, (it) => vmLines([it]));
    });

  drive
    .command('detach')
    .description('take a drive from a VM, and wait until the guest has let go')
    .argument('<drive>', 'its id', parseDriveId)
    .argument('<vm>', "the VM's id", parseVmId)
    .option('--json', 'as JSON')
    .action(async (id: string, vmId: string, options: JsonOption) => {
      answer(io, options.json, await detachDrive(await host(), id, vmId), (it) => vmLines([it]));
    });

  drive
    .command('delete')
    .description('remove a detached drive and all that is on it, for ever')
    .argument('<drive>', 'its id', parseDriveId)
    .requiredOption('--confirm <id>', 'the id again')
    .option('--json', 'as JSON')
    .action(async (id: string, options: JsonOption & { confirm: string }) => {
      if (options.confirm !== id) throw new VmcError('bad-request', '--confirm names another drive.');
      if (!(await deleteDrive(await host(), id))) throw new VmcError('not-found', `This host has no drive ${id}.`);
      answer(io, options.json, { deleted: id }, (it) => `deleted ${it.deleted}`);
    });
}
