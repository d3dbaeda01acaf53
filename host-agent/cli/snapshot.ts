/** `host-agent snapshot …` */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { driveFormatSchema } from '../../shared/agent-api/index.ts';
import { type Snapshot, snapshotKindSchema, snapshotTargetSchema } from '../../shared/agent-api/snapshots.ts';
import { answer, humanBytes, table } from '../../shared/cli/program.ts';
import { forgottenText } from '../../shared/cli/snapshot-text.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Work } from '../drives/qemu-img.ts';
import { createSnapshot } from '../snapshots/create.ts';
import { deleteSnapshot, pruneSnapshots } from '../snapshots/delete.ts';
import { forgetUnfinished } from '../snapshots/forget.ts';
import { listSnapshots } from '../snapshots/records.ts';
import { restoreSnapshot } from '../snapshots/restore.ts';
import { verifySnapshot } from '../snapshots/verify.ts';
import { parseCount, parseDriveId, parsed, parseSnapshotId } from './parse.ts';
import type { CliContext, JsonOption } from './program.ts';
import { showProgress } from './progress.ts';

const MAX_KEPT = 1000;

const snapshotLines = (snapshots: readonly Snapshot[]): string =>
  table([
    ['SNAPSHOT', 'DRIVE', 'TAKEN', 'KIND', 'AT', 'SIZE', 'STORED', 'BUILDS ON'],
    ...snapshots.map((it) => [
      it.snapshotId,
      it.driveId,
      new Date(it.takenAt).toISOString(),
      it.kind,
      it.target,
      humanBytes(it.sizeBytes),
      humanBytes(it.storedBytes),
      it.parentId ?? '-',
    ]),
  ]);

export function addSnapshotCommands(program: Command, { io, host, stopSignal }: CliContext): void {
  const snapshot = program
    .command('snapshot')
    .description('snapshots of drives: what is on the disk, encrypted as it is');
  const work = (): Work => ({ signal: stopSignal(), progress: showProgress(io) });

  snapshot
    .command('create')
    .description('copy a drive as it is now, whether its VM runs or not; Ctrl-C leaves nothing behind')
    .argument('<drive>', 'its id', parseDriveId)
    .option('--kind <kind>', 'full, incremental, or auto: incremental if there is one to build on', 'auto')
    .option('--target <target>', 'pool, or sftp: the server of host-agent.toml', 'pool')
    .option('--id <id>', "the snapshot's id (default: a new one)", parseSnapshotId)
    .option('--json', 'as JSON')
    .action(async (driveId: string, options: JsonOption & { kind: string; target: string; id?: string }) => {
      const request = {
        snapshotId: options.id ?? `snap-${randomBytes(8).toString('hex')}`,
        driveId,
        kind: parsed(snapshotKindSchema, options.kind),
        target: parsed(snapshotTargetSchema, options.target),
      };
      const made = await createSnapshot(await host(), request, work());
      if (made.fullBecause !== undefined && options.json !== true) io.stderr.write(`full: ${made.fullBecause}\n`);
      answer(io, options.json, made, (it) => snapshotLines([it]));
    });

  snapshot
    .command('list')
    .description('the snapshots of this host, oldest first')
    .argument('[drive]', 'of this drive only', parseDriveId)
    .option('--json', 'as JSON')
    .action(async (driveId: string | undefined, options: JsonOption) => {
      answer(io, options.json, await listSnapshots(await host(), driveId), snapshotLines);
    });

  snapshot
    .command('verify')
    .description(
      'read a snapshot and all that it builds on; the exit code is 65 when something is not as it was written',
    )
    .argument('<snapshot>', 'its id', parseSnapshotId)
    .option('--json', 'as JSON')
    .action(async (id: string, options: JsonOption) => {
      const verdict = await verifySnapshot(await host(), id, work());
      answer(io, options.json, verdict, (it) => (it.ok ? 'as it was written' : `${it.badId}: ${it.problem}`));
      if (!verdict.ok)
        throw new VmcError('bad-data', `Snapshot ${verdict.badId} is damaged.`, 'Make a full one: --kind full');
    });

  snapshot
    .command('restore')
    .description('make a new drive of a snapshot; the drive that it was taken of is not touched')
    .argument('<snapshot>', 'its id', parseSnapshotId)
    .option('--id <id>', "the new drive's id (default: a new one)", parseDriveId)
    .option('--format <format>', 'qcow2 or raw', 'qcow2')
    .option('--json', 'as JSON')
    .action(async (snapshotId: string, options: JsonOption & { id?: string; format: string }) => {
      const request = {
        snapshotId,
        newDriveId: options.id ?? `drv${randomBytes(8).toString('hex')}`,
        format: parsed(driveFormatSchema, options.format),
      };
      const made = await restoreSnapshot(await host(), request, work());
      answer(io, options.json, made, (it) => `${it.driveId}, ${humanBytes(it.sizeBytes)}`);
    });

  snapshot
    .command('delete')
    .description('delete a snapshot on which no other one builds')
    .argument('<snapshot>', 'its id', parseSnapshotId)
    .requiredOption('--confirm <id>', 'the id again')
    .option('--json', 'as JSON')
    .action(async (id: string, options: JsonOption & { confirm: string }) => {
      if (options.confirm !== id) throw new VmcError('bad-request', '--confirm names another snapshot.');
      if (!(await deleteSnapshot(await host(), id)))
        throw new VmcError('not-found', `This host has no snapshot ${id}.`);
      answer(io, options.json, { deleted: id }, (it) => `deleted ${it.deleted}`);
    });

  snapshot
    .command('forget')
    .description(
      'end what was begun with snapshots of a drive although their SFTP server is gone for good; says what may remain there',
    )
    .argument('<drive>', 'its id', parseDriveId)
    .requiredOption('--confirm <id>', "the drive's id again")
    .option('--json', 'as JSON')
    .action(async (driveId: string, options: JsonOption & { confirm: string }) => {
      if (options.confirm !== driveId) throw new VmcError('bad-request', '--confirm names another drive.');
      const forgotten = await forgetUnfinished(await host(), driveId);
      answer(io, options.json, { forgotten }, (it) => forgottenText(it.forgotten));
    });

  snapshot
    .command('prune')
    .description('delete the oldest snapshots of a drive that the newest do not build on; nothing is merged')
    .argument('<drive>', 'its id', parseDriveId)
    .requiredOption('--keep <n>', 'how many of the newest must stay', (text) => parseCount(text, MAX_KEPT))
    .requiredOption('--confirm <id>', "the drive's id again")
    .option('--json', 'as JSON')
    .action(async (driveId: string, options: JsonOption & { keep: number; confirm: string }) => {
      if (options.confirm !== driveId) throw new VmcError('bad-request', '--confirm names another drive.');
      if (options.keep < 1) throw new VmcError('bad-request', '--keep must be at least 1.');
      const deleted = await pruneSnapshots(await host(), driveId, options.keep);
      answer(io, options.json, { deleted }, (it) => it.deleted.map((id) => `deleted ${id}`).join('\n'));
    });
}
