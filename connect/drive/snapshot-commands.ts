/** `connect drive snapshot`: ciphertext of a drive at one moment, kept by its host or at the site's SFTP server. */
import { type Command, Option } from 'commander';
import { driveFormatSchema } from '../../shared/agent-api/index.ts';
import { snapshotMethods, snapshotTargetSchema } from '../../shared/agent-api/snapshots.ts';
import { humanBytes, table } from '../../shared/cli/program.ts';
import { forgottenText } from '../../shared/cli/snapshot-text.ts';
import { VmcError } from '../../shared/errors.ts';
import { nameSchema, snapshotIdSchema } from '../../shared/names.ts';
import { type KnownSnapshot, snapshotRoutes } from '../../shared/rest-api/drive-care.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { beginJob, followJob } from '../job/follow.ts';
import { checked, requireConfirm } from '../options.ts';
import { ask, type Session, withSession } from '../session.ts';
import { findOwnDrive, getDrive } from './find.ts';
import { HOST_WORK_MS } from './in-vm.ts';
import { lend, storeFirstKey } from './key.ts';
import { openDriveKey } from './key-envelope.ts';
import { type Consistency, createSnapshot } from './snapshot-create.ts';
import { driveLine, shownDrive } from './text.ts';

interface CreateOptions {
  full?: boolean;
  incremental?: boolean;
  to: string;
  freeze: boolean;
  json?: boolean;
}

const CONSISTENCY: Record<Consistency, string> = {
  frozen: 'consistent: the file system was at rest',
  unused: 'consistent: nobody had it open for writing',
  'power-cut': 'as after a power cut: the file system recovers when it is opened',
};

export function addSnapshotCommands(drives: Command, io: ConnectIo): void {
  const snapshots = drives
    .command('snapshot')
    .description('Copies of a drive as it was at one moment, encrypted as it is');

  snapshots
    .command('create')
    .description('Copy a drive as it is now, also while it is in use: writers wait for a moment')
    .argument('<drive>', 'name or id')
    .option('--full', 'all of it (default: what has changed since the last one, where there is one)')
    .option('--incremental', 'only what has changed since the last one')
    .addOption(
      new Option('--to <place>', "pool: on its host; sftp: the site's server")
        .choices(snapshotTargetSchema.options)
        .default('pool'),
    )
    .option('--no-freeze', 'let writers write on: it is then as after a power cut')
    .option('--json', 'answer as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  connect drive snapshot create data\n  connect drive snapshot create data --to sftp',
    )
    .action((wanted: string, options: CreateOptions, command: Command) => {
      if (options.full === true && options.incremental === true)
        throw new VmcError('bad-request', 'Say one of --full and --incremental.');
      const kind = options.full === true ? 'full' : options.incremental === true ? 'incremental' : 'auto';
      const wish = { kind, target: snapshotTargetSchema.parse(options.to), freeze: options.freeze } as const;
      return withSession(io, command, async (session) => {
        const drive = await findOwnDrive(session, wanted);
        const made = await createSnapshot(session, drive, wish);
        if (made.fullBecause !== undefined) note(io, `It is a full one: ${made.fullBecause}`);
        reply(
          io,
          options.json,
          made,
          () =>
            `${drive.name}  ${made.snapshotId}  ${made.kind}, ${humanBytes(made.storedBytes)}\n${CONSISTENCY[made.consistency]}`,
        );
      });
    });

  snapshots
    .command('list')
    .description('Snapshots of your drives, also of deleted ones, oldest first')
    .argument('[drive]', 'name or id; default: all')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive snapshot list data')
    .action((wanted: string | undefined, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const listed = await ask(session, snapshotRoutes.snapshotList, { params: {}, body: {} });
        const driveId = wanted === undefined ? undefined : await idOf(session, listed.snapshots, wanted);
        const shown = listed.snapshots.filter((it) => driveId === undefined || it.driveId === driveId);
        reply(io, json, { snapshots: shown }, (it) => snapshotTable(it.snapshots));
      }),
    );

  snapshots
    .command('verify')
    .description('Read a snapshot and all that it builds on, and compare the hashes')
    .argument('<snapshot>', 'its id, snap-…')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive snapshot verify snap-0123456789abcdef')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) => {
      const snapshotId = checked(snapshotIdSchema, wanted, 'the id');
      return withSession(io, command, async (session) => {
        const job = await beginJob(session, snapshotRoutes.snapshotVerify, { params: { snapshotId }, body: {} });
        const done = await followJob(session, job, { whenCancelled: 'Nothing was changed.' });
        const found = checked(snapshotMethods.snapshotVerify.result, done.result, 'the answer of the host');
        reply(io, json, { snapshotId, ...found }, (it) => `${snapshotId}  ${it.ok ? 'as it was written' : 'DAMAGED'}`);
        if (!found.ok)
          throw new VmcError(
            'bad-data',
            `${found.badId ?? snapshotId} is not as it was written: ${found.problem ?? 'no reason was given'}`,
            'Snapshots from before it are not touched by that: connect drive snapshot list',
          );
      });
    });

  snapshots
    .command('restore')
    .description('Make a new drive of a snapshot. It opens with the key that the old drive had then')
    .argument('<snapshot>', 'its id, snap-…')
    .argument('<name>', 'name of the new drive')
    .addOption(
      new Option('--format <format>', 'of the file on the host').choices(driveFormatSchema.options).default('qcow2'),
    )
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive snapshot restore snap-0123456789abcdef data-before')
    .action((wanted: string, newName: string, options: { format: string; json?: boolean }, command: Command) => {
      const snapshotId = checked(snapshotIdSchema, wanted, 'the id');
      const body = { name: checked(nameSchema, newName, 'the name'), format: driveFormatSchema.parse(options.format) };
      return withSession(io, command, async (session) => {
        const input = { params: { snapshotId }, body };
        const { drive, job } = await beginJob(session, snapshotRoutes.snapshotRestore, input, HOST_WORK_MS);
        await followJob(session, job, {
          whenCancelled: `What was made is removed. When connect drive list still shows ${body.name}: connect drive delete ${body.name} --confirm ${drive.driveId}`,
        });
        const restored = await keyKept(session, await getDrive(session, drive.driveId));
        reply(io, options.json, shownDrive(restored), driveLine);
      });
    });

  snapshots
    .command('delete')
    .description('Delete a snapshot on which no other one builds, for ever')
    .argument('<snapshot>', 'its id, snap-…')
    .requiredOption('--confirm <id>', 'its id once more')
    .option('--json', 'answer as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  connect drive snapshot delete snap-0123456789abcdef --confirm snap-0123456789abcdef',
    )
    .action((wanted: string, { confirm, json }: { confirm: string; json?: boolean }, command: Command) => {
      const snapshotId = checked(snapshotIdSchema, wanted, 'the id');
      requireConfirm(confirm, snapshotId, 'its id');
      return withSession(io, command, async (session) => {
        const input = { params: { snapshotId }, body: { confirm: snapshotId } };
        await ask(session, snapshotRoutes.snapshotDelete, input, HOST_WORK_MS);
        reply(io, json, { snapshotId, deleted: true }, () => `${snapshotId}  deleted`);
      });
    });

  snapshots
    .command('forget')
    .description("End what was begun with a drive's snapshots although their server is gone for good")
    .argument('<drive>', 'name or id')
    .requiredOption('--confirm <id>', "the drive's id")
    .option('--json', 'answer as JSON')
    .addHelpText(
      'after',
      '\nIt says what may remain on the server. Whole snapshots there stay: delete them, then forget that.\n\nExample:\n  connect drive snapshot forget data --confirm drv0123456789abcdef',
    )
    .action((wanted: string, { confirm, json }: { confirm: string; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const listed = await ask(session, snapshotRoutes.snapshotList, { params: {}, body: {} });
        const driveId = await idOf(session, listed.snapshots, wanted);
        requireConfirm(confirm, driveId, "the drive's id");
        const input = { params: { driveId }, body: { confirm: driveId } };
        const { forgotten } = await ask(session, snapshotRoutes.snapshotForget, input, HOST_WORK_MS);
        reply(io, json, { driveId, forgotten }, (it) => forgottenText(it.forgotten));
      }),
    );
}

/** Of a drive that may be gone: then the snapshots tell. */
async function idOf(session: Session, snapshots: readonly KnownSnapshot[], wanted: string): Promise<string> {
  const gone = snapshots.find((it) => it.driveId === wanted);
  return gone?.driveId ?? (await findOwnDrive(session, wanted)).driveId;
}

/**
 * The key of the old drive becomes the new one's. When it was just being changed there are two: which one fits shows when
 * the drive is opened.
 */
async function keyKept(session: Session, drive: Drive): Promise<Drive> {
  const { driveId, restored } = drive;
  const [envelope, ...others] = restored?.wrappedKeys ?? [];
  if (restored === undefined || envelope === undefined || others.length > 0) return drive;
  try {
    const key = openDriveKey(session.identity, restored.driveId, envelope);
    await lend(key, (bytes) => storeFirstKey(session, driveId, bytes));
    return await getDrive(session, driveId);
  } catch (error) {
    if (!(error instanceof VmcError)) throw error;
    note(session.io, `The drive is there, but its key is not stored yet: ${error.message}`);
    return drive;
  }
}

function snapshotTable(snapshots: readonly KnownSnapshot[]): string {
  const rows = snapshots.map((it) => [
    it.snapshotId,
    it.driveName,
    new Date(it.takenAt).toISOString(),
    it.kind,
    humanBytes(it.storedBytes),
    it.target,
    it.parentId ?? '-',
  ]);
  return table([['ID', 'DRIVE', 'TAKEN', 'KIND', 'SIZE', 'WHERE', 'BUILDS ON'], ...rows]);
}
