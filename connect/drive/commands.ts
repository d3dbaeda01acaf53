/** Drives as the backend and the host know them: make, list, attach, usage, delete, key. What happens in the VM: inside-commands.ts. */
import { type Command, Option } from 'commander';
import { driveFormatSchema } from '../../shared/agent-api/index.ts';
import { humanBytes } from '../../shared/cli/program.ts';
import { VmcError } from '../../shared/errors.ts';
import { nameSchema } from '../../shared/names.ts';
import { routes } from '../../shared/rest-api/index.ts';
import { findHostId } from '../host/find.ts';
import { type ConnectIo, isTerminal, reply } from '../io.ts';
import { checkName, meant, nameHere } from '../known-vms.ts';
import { checked, requireConfirm, sizeInMiB } from '../options.ts';
import { ask, withSession } from '../session.ts';
import { findVm } from '../vm/find.ts';
import { findDrive } from './find.ts';
import { addInsideCommands } from './inside-commands.ts';
import { withDriveKey } from './key.ts';
import { driveDetails, driveLine, driveTable, shownDrive } from './text.ts';

/** More than the backend itself waits for a host. */
const HOST_WORK_MS = 330_000;

interface CreateOptions {
  size: number;
  format: string;
  host?: string;
  json?: boolean;
}

export function addDriveCommands(program: Command, io: ConnectIo): void {
  const drives = program.command('drive').description('Your encrypted drives');

  drives
    .command('create')
    .description('Make a blank drive. Attach it, then format it: only then it has a key and a file system')
    .argument('<name>', 'name of the drive')
    .requiredOption('--size <size>', 'e.g. 2GiB', sizeInMiB)
    .addOption(
      new Option('--format <format>', 'of the file on the host').choices(driveFormatSchema.options).default('qcow2'),
    )
    .option('--host <host>', 'name or id of the host')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive create data --size 2GiB')
    .action((name: string, options: CreateOptions, command: Command) => {
      const wanted = {
        name: checked(nameSchema, name, 'the name'),
        sizeBytes: options.size,
        format: driveFormatSchema.parse(options.format),
      };
      return withSession(io, command, async (session) => {
        const hostId = options.host === undefined ? {} : { hostId: await findHostId(session, options.host) };
        const made = await ask(
          session,
          routes.driveCreate,
          { params: {}, body: { ...wanted, ...hostId } },
          HOST_WORK_MS,
        );
        reply(io, options.json, shownDrive(made), driveLine);
      });
    });

  drives
    .command('list')
    .description('Your drives')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive list')
    .action(({ json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const answer = await ask(session, routes.driveList, { params: {}, body: {} });
        reply(io, json, { drives: answer.drives.map(shownDrive) }, (shown) => driveTable(shown.drives));
      }),
    );

  drives
    .command('show')
    .description('One drive')
    .argument('<drive>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive show data')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        reply(io, json, shownDrive(await findDrive(session, wanted)), driveDetails);
      }),
    );

  drives
    .command('attach')
    .description('Attach a drive to a VM, live when it runs')
    .argument('<drive>', 'name or id')
    .argument('<vm>', 'name or id')
    .option('--ro', 'read-only')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive attach data lab')
    .action((wanted: string, wantedVm: string, { ro, json }: { ro?: boolean; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const { driveId } = await findDrive(session, wanted);
        const vm = await findVm(session, wantedVm);
        checkName(await session.folder.knownVms(), { ...vm, name: nameHere(vm, session.user.userId) });
        const body = { vmId: vm.vmId, readOnly: ro === true };
        const attached = await ask(session, routes.driveAttach, { params: { driveId }, body }, HOST_WORK_MS);
        await session.folder.changeKnownVms((known) =>
          meant(known, { ...vm, name: nameHere(vm, session.user.userId) }),
        );
        reply(io, json, shownDrive(attached), driveLine);
      }),
    );

  drives
    .command('usage')
    .description("What the drive's file takes on the host now")
    .argument('<drive>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive usage data')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const { driveId, name } = await findDrive(session, wanted);
        const usage = await ask(session, routes.driveUsage, { params: { driveId }, body: {} });
        reply(
          io,
          json,
          { driveId, name, ...usage },
          () => `${name}  ${humanBytes(usage.allocatedBytes)} of ${humanBytes(usage.sizeBytes)} taken on the host`,
        );
      }),
    );

  drives
    .command('delete')
    .description('Delete a detached drive and its key, for ever')
    .argument('<drive>', 'name or id')
    .requiredOption('--confirm <id>', 'its id, drv…')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive delete data --confirm drv0123456789abcdef')
    .action((wanted: string, { confirm, json }: { confirm: string; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const { driveId, name } = await findDrive(session, wanted);
        requireConfirm(confirm, driveId, 'its id');
        await ask(session, routes.driveDelete, { params: { driveId }, body: { confirm: driveId } }, HOST_WORK_MS);
        reply(io, json, { driveId, name, deleted: true }, () => `${name}  ${driveId}  deleted`);
      }),
    );

  drives
    .command('key')
    .description("A drive's key, for your own backup")
    .command('export')
    .description('Write the 32 bytes of the key to stdout, which must not be a terminal')
    .argument('<drive>', 'name or id')
    .addHelpText('after', '\nExample:\n  connect drive key export data | age -p > data.key.age')
    .action((wanted: string, _options: object, command: Command) => {
      if (isTerminal(io.stdout))
        throw new VmcError(
          'bad-request',
          'A key is not shown on a terminal.',
          'Pipe it to what keeps it: … | age -p > FILE',
        );
      return withSession(io, command, async (session) => {
        await withDriveKey(session, await findDrive(session, wanted), (key) => written(io, key));
      });
    });

  addInsideCommands(drives, io);
}

/** Waits until the bytes have left: they are wiped right after. */
function written(io: ConnectIo, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    io.stdout.write(bytes, (error) => (error == null ? resolve() : reject(error)));
  });
}
