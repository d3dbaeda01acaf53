/** `host-agent drive …` */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import {
  type DriveFile,
  driveAllocationSchema,
  driveFormatSchema,
  driveSizeSchema,
} from '../../shared/agent-api/index.ts';
import { answer, humanBytes, parseBytes, table } from '../../shared/cli/program.ts';
import { VmcError } from '../../shared/errors.ts';
import { adoptDrive } from '../drives/adopt.ts';
import { checkDrive } from '../drives/check.ts';
import { convertDrive } from '../drives/convert.ts';
import { deleteDrive } from '../drives/delete.ts';
import { listDrives } from '../drives/drives.ts';
import { driveInfo } from '../drives/info.ts';
import { createDrive } from '../drives/make.ts';
import type { Work } from '../drives/qemu-img.ts';
import { resizeDrive } from '../drives/resize.ts';
import { attachDrive, detachDrive } from '../vms/attach.ts';
import { parseDriveId, parsed, parseVmId } from './parse.ts';
import type { CliContext, JsonOption } from './program.ts';
import { showProgress } from './progress.ts';
import { vmLines } from './vm.ts';

const driveLines = (drives: readonly DriveFile[]): string =>
  table([
    ['DRIVE', 'FORMAT', 'SIZE', 'ON DISK', 'ATTACHED TO'],
    ...drives.map((it) => [
      it.driveId,
      it.format,
      humanBytes(it.sizeBytes),
      humanBytes(it.allocatedBytes),
      it.attachments?.map(({ vmId, readOnly }) => vmId + (readOnly ? ' (read-only)' : '')).join(', ') || '-',
    ]),
  ]);

export function addDriveCommands(program: Command, { io, host, stopSignal }: CliContext): void {
  const drive = program.command('drive').description('drive files');
  const work = (): Work => ({ signal: stopSignal(), progress: showProgress(io) });

  drive
    .command('create')
    .description('make a blank drive')
    .argument('<size>', 'such as 20GiB')
    .option('--id <id>', 'its id (default: a new one)', parseDriveId)
    .option('--format <format>', 'qcow2 or raw', 'qcow2')
    .option('--allocation <how>', 'sparse: grows as it is written; falloc, full: takes all its space now', 'sparse')
    .option('--json', 'as JSON')
    .action(async (size: string, options: JsonOption & { id?: string; format: string; allocation: string }) => {
      const request = {
        driveId: options.id ?? `drv${randomBytes(8).toString('hex')}`,
        format: parsed(driveFormatSchema, options.format),
        sizeBytes: parsed(driveSizeSchema, parseBytes(size)),
        allocation: parsed(driveAllocationSchema, options.allocation),
      };
      const made = await createDrive(await host(), request, request.allocation === 'sparse' ? {} : work());
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
    .command('resize')
    .description('make a drive larger, live if it is attached; its VM then grows what is in it. It never shrinks')
    .argument('<drive>', 'its id', parseDriveId)
    .argument('<size>', 'the new size, such as 40GiB')
    .option('--json', 'as JSON')
    .action(async (id: string, size: string, options: JsonOption) => {
      const sizeBytes = parsed(driveSizeSchema, parseBytes(size));
      answer(io, options.json, await resizeDrive(await host(), id, sizeBytes), (it) => driveLines([it]));
    });

  drive
    .command('check')
    .description('is the file of a detached drive sound? The exit code is 65 when it is damaged')
    .argument('<drive>', 'its id', parseDriveId)
    .option('--repair', 'give leaked space back')
    .option('--json', 'as JSON')
    .action(async (id: string, options: JsonOption & { repair?: boolean }) => {
      const result = await checkDrive(await host(), id, options.repair === true, work());
      answer(io, options.json, result, (it) =>
        it.state === 'leaks'
          ? `${it.leakedClusters} clusters are lost to others, no data: --repair gives them back`
          : `${it.state}${it.repaired ? ', leaked space was given back' : ''}`,
      );
      if (result.state === 'damaged')
        throw new VmcError(
          'bad-data',
          `The file of drive ${id} is damaged in ${result.corruptions} places.`,
          'Copy it away as it is; then restore a snapshot, or read what is left in its VM, read-only.',
        );
    });

  drive
    .command('convert')
    .description('change a detached drive between raw and qcow2')
    .argument('<drive>', 'its id', parseDriveId)
    .requiredOption('--format <format>', 'qcow2 or raw')
    .option('--json', 'as JSON')
    .action(async (id: string, options: JsonOption & { format: string }) => {
      const format = parsed(driveFormatSchema, options.format);
      answer(io, options.json, await convertDrive(await host(), id, format, work()), (it) => driveLines([it]));
    });

  drive
    .command('adopt')
    .description('take over a drive that another host made in a pool that both have')
    .argument('<drive>', 'its id', parseDriveId)
    .requiredOption('--format <format>', 'qcow2 or raw, as it was made')
    .requiredOption('--confirm <id>', 'the id again')
    .option('--json', 'as JSON')
    .action(async (id: string, options: JsonOption & { format: string; confirm: string }) => {
      confirmed(id, options.confirm);
      const told = { format: parsed(driveFormatSchema, options.format) };
      answer(io, options.json, await adoptDrive(await host(), id, told), (it) => driveLines([it]));
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
      confirmed(id, options.confirm);
      if (!(await deleteDrive(await host(), id))) throw new VmcError('not-found', `This host has no drive ${id}.`);
      answer(io, options.json, { deleted: id }, (it) => `deleted ${it.deleted}`);
    });
}

function confirmed(id: string, again: string): void {
  if (again !== id) throw new VmcError('bad-request', '--confirm names another drive.');
}
