/** The file of a drive on its host: make, grow, check, convert, delete. */
import { type Command, Option } from 'commander';
import { type DriveCheck, driveCheckSchema } from '../../shared/agent-api/drive-files.ts';
import { driveAllocationSchema, driveFormatSchema } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import { nameSchema } from '../../shared/names.ts';
import { driveFileRoutes } from '../../shared/rest-api/drive-care.ts';
import { routes } from '../../shared/rest-api/index.ts';
import { findHostId } from '../host/find.ts';
import { type ConnectIo, reply } from '../io.ts';
import { beginJob, followJob } from '../job/follow.ts';
import { checked, requireConfirm, sizeInMiB } from '../options.ts';
import { ask, withSession } from '../session.ts';
import { findOwnDrive, getDrive } from './find.ts';
import { growDrive } from './grow.ts';
import { HOST_WORK_MS } from './in-vm.ts';
import { driveLine, shownDrive } from './text.ts';

interface CreateOptions {
  size: number;
  format: string;
  allocation: string;
  host?: string;
  json?: boolean;
}

const formatOption = () =>
  new Option('--format <format>', 'of the file on the host').choices(driveFormatSchema.options);

export function addFileCommands(drives: Command, io: ConnectIo): void {
  drives
    .command('create')
    .description('Make a blank drive. Attach it, then format it: only then it has a key and a file system')
    .argument('<name>', 'name of the drive')
    .requiredOption('--size <size>', 'e.g. 2GiB', sizeInMiB)
    .addOption(formatOption().default('qcow2'))
    .addOption(
      new Option(
        '--allocation <how>',
        'sparse: takes what is written; falloc: set aside at once; full: written at once',
      )
        .choices(driveAllocationSchema.options)
        .default('sparse'),
    )
    .option('--host <host>', 'name or id of the host')
    .option('--json', 'answer as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  connect drive create data --size 2GiB\n  connect drive create fast --size 100GiB --format raw --allocation falloc',
    )
    .action((name: string, options: CreateOptions, command: Command) => {
      const wanted = {
        name: checked(nameSchema, name, 'the name'),
        sizeBytes: options.size,
        format: driveFormatSchema.parse(options.format),
        allocation: driveAllocationSchema.parse(options.allocation),
      };
      return withSession(io, command, async (session) => {
        const hostId = options.host === undefined ? {} : { hostId: await findHostId(session, options.host) };
        const body = { ...wanted, ...hostId };
        const { job, ...made } = await beginJob(session, routes.driveCreate, { params: {}, body }, HOST_WORK_MS);
        if (job !== undefined)
          await followJob(session, job, {
            whenCancelled: `What was made is removed. When connect drive list still shows it: connect drive delete ${name} --confirm ${made.driveId}`,
          });
        const drive = job === undefined ? made : await getDrive(session, made.driveId);
        reply(io, options.json, shownDrive(drive), driveLine);
      });
    });

  drives
    .command('grow')
    .description('Make a drive larger. What is open in its VM grows with it at once; nothing is unmounted')
    .argument('<drive>', 'name or id')
    .requiredOption('--size <size>', 'of the whole drive then, e.g. 4GiB', sizeInMiB)
    .option('--json', 'answer as JSON')
    .addHelpText(
      'after',
      '\nRepeating it finishes what was cut short.\n\nExample:\n  connect drive grow data --size 4GiB',
    )
    .action((wanted: string, { size, json }: { size: number; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const { drive, inside, left } = await growDrive(session, await findOwnDrive(session, wanted), size);
        const answer = { ...shownDrive(drive), ...(inside && { inside }), ...(left && { left }) };
        reply(io, json, answer, (it) => (left === undefined ? driveLine(it) : `${driveLine(it)}\n${left}`));
      }),
    );

  drives
    .command('check')
    .description('Check the file of a detached drive on its host, as far as the host can tell')
    .argument('<drive>', 'name or id')
    .option('--repair', 'give leaked space back')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive check data --repair')
    .action((wanted: string, { repair, json }: { repair?: boolean; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const { driveId, name } = await findOwnDrive(session, wanted);
        const body = { repair: repair === true };
        const job = await beginJob(session, driveFileRoutes.driveCheck, { params: { driveId }, body });
        const { result } = await followJob(session, job, { whenCancelled: 'No data were changed.' });
        const found = checked(driveCheckSchema, result, 'the answer of the host');
        reply(io, json, { driveId, name, ...found }, () => `${name}  ${checkText(found, name)}`);
        if (found.state === 'damaged')
          throw new VmcError(
            'bad-data',
            `The file of ${name} is damaged on its host (${found.corruptions} places).`,
            'Copy what can still be read, or restore a snapshot: connect drive snapshot list',
          );
      }),
    );

  drives
    .command('convert')
    .description('Change the file of a detached drive between raw and qcow2')
    .argument('<drive>', 'name or id')
    .addOption(formatOption().makeOptionMandatory())
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive convert data --format raw')
    .action((wanted: string, options: { format: string; json?: boolean }, command: Command) => {
      const body = { format: driveFormatSchema.parse(options.format) };
      return withSession(io, command, async (session) => {
        const { driveId } = await findOwnDrive(session, wanted);
        const job = await beginJob(session, driveFileRoutes.driveConvert, { params: { driveId }, body });
        await followJob(session, job, { whenCancelled: 'The drive is as it was.' });
        reply(io, options.json, shownDrive(await getDrive(session, driveId)), driveLine);
      });
    });

  drives
    .command('delete')
    .description('Delete a detached drive and its key, for ever')
    .argument('<drive>', 'name or id')
    .requiredOption('--confirm <id>', 'its id, drv…')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive delete data --confirm drv0123456789abcdef')
    .action((wanted: string, { confirm, json }: { confirm: string; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const { driveId, name } = await findOwnDrive(session, wanted);
        requireConfirm(confirm, driveId, 'its id');
        await ask(session, routes.driveDelete, { params: { driveId }, body: { confirm: driveId } }, HOST_WORK_MS);
        reply(io, json, { driveId, name, deleted: true }, () => `${name}  ${driveId}  deleted`);
      }),
    );
}

function checkText({ state, leakedClusters, repaired }: DriveCheck, name: string): string {
  if (state === 'good') return repaired ? 'good; leaked space was given back' : 'good';
  if (state === 'damaged') return 'DAMAGED';
  return `no data are hurt; ${leakedClusters} clusters of space are leaked: connect drive check ${name} --repair`;
}
