/** VMs: make, list, power, delete. What happens inside one is in inside-commands.ts. */
import { type Command, Option } from 'commander';
import { VmcError } from '../../shared/errors.ts';
import { imageNameSchema, nameSchema } from '../../shared/names.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Vm } from '../../shared/rest-api/machines.ts';
import { addAuditCommand } from '../audit/command.ts';
import { findHostId } from '../host/find.ts';
import { type ConnectIo, reply } from '../io.ts';
import { forget, meant } from '../known-vms.ts';
import { checked, requireConfirm, sizeInMiB, toMiB, wholeNumber } from '../options.ts';
import { progressLine } from '../progress.ts';
import { ask, type Session, withSession } from '../session.ts';
import { addVmDriveCommands } from './drive-commands.ts';
import { findVm, waitUntilReady } from './find.ts';
import { addInsideCommands } from './inside-commands.ts';
import { addIsoCommands } from './iso-commands.ts';
import { addNfsCommands } from './nfs-commands.ts';
import { addPeopleCommands } from './people-commands.ts';
import { addProfileCommands } from './profile-commands.ts';
import { pinState, shownVm, vmDetails, vmState, vmTable } from './text.ts';

/** More than the backend itself waits for a host. */
const HOST_WORK_MS = 630_000;
const vmLine = (vm: ReturnType<typeof shownVm>) => `${vm.name}  ${vm.vmId}  ${vmState(vm)}${vm.ready ? ', ready' : ''}`;

interface CreateOptions {
  image: string;
  cores: number;
  memory: number;
  host?: string;
  wait?: boolean;
  timeout: number;
  json?: boolean;
}

export function addVmCommands(program: Command, io: ConnectIo): void {
  const vms = program.command('vm').description('Your VMs');

  vms
    .command('create')
    .description('Make and start a VM that you own')
    .argument('<name>', 'name of the VM')
    .requiredOption('--image <image>', "an image of the host's pool")
    .option('--cores <n>', 'processor cores', wholeNumber(1, 512), 2)
    .addOption(new Option('--memory <size>', 'memory').argParser(sizeInMiB).default(sizeInMiB('2GiB'), '2GiB'))
    .option('--host <host>', 'name or id of the host (default: the one with most free memory)')
    .option('--wait', 'wait until it can be reached')
    .option('--timeout <seconds>', 'how long to wait', wholeNumber(1, 86_400), 300)
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm create lab --image debian-12 --cores 2 --memory 2GiB --wait')
    .action((name: string, options: CreateOptions, command: Command) => create(io, name, options, command));

  vms
    .command('list')
    .description('Your VMs, and those that you were let into (administrators: all)')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm list')
    .action(({ json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const answer = await ask(session, routes.vmList, { params: {}, body: {} });
        reply(io, json, { vms: answer.vms.map(shownVm) }, (shown) => vmTable(shown.vms));
      }),
    );

  vms
    .command('show')
    .description('One VM, and whether this device knows its key')
    .argument('<vm>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm show lab')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const vm = shownVm(await findVm(session, wanted));
        reply(io, json, { ...vm, pin: pinState(await session.folder.knownVms(), vm) }, vmDetails);
      }),
    );

  vms
    .command('start')
    .description('Start a VM that is off')
    .argument('<vm>', 'name or id')
    .option('--wait', 'wait until it can be reached')
    .option('--timeout <seconds>', 'how long to wait', wholeNumber(1, 86_400), 300)
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm start lab --wait')
    .action((wanted: string, options: { wait?: boolean; timeout: number; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const { vmId } = await findVm(session, wanted);
        const started = await ask(session, routes.vmStart, { params: { vmId }, body: {} }, HOST_WORK_MS);
        await answerVm(session, started, options);
      }),
    );

  vms
    .command('wait')
    .description('Wait until a VM can be reached')
    .argument('<vm>', 'name or id')
    .option('--timeout <seconds>', 'how long to wait', wholeNumber(1, 86_400), 300)
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm wait lab --timeout 60')
    .action((wanted: string, options: { timeout: number; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) =>
        answerVm(session, await findVm(session, wanted), { ...options, wait: true }),
      ),
    );

  vms
    .command('shutdown')
    .description('Ask a VM to shut down and wait for it; with --force cut its power after that')
    .argument('<vm>', 'name or id')
    .option('--wait-seconds <n>', 'how long it may take', wholeNumber(0, 600), 120)
    .option('--force', 'cut the power when it has not shut down by then')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm shutdown lab --wait-seconds 60 --force')
    .action((wanted: string, options: { waitSeconds: number; force?: boolean; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const { vmId, name } = await findVm(session, wanted);
        const { waitSeconds } = options;
        const line = progressLine(io);
        line.show({ step: `${name}: shutting down (up to ${waitSeconds} s)` });
        const body = { waitSeconds, force: options.force === true };
        const down = await ask(
          session,
          routes.vmShutdown,
          { params: { vmId }, body },
          (waitSeconds + 60) * 1000,
        ).finally(line.end);
        reply(io, options.json, shownVm(down), vmLine);
      }),
    );

  vms
    .command('delete')
    .description('Delete a VM that is off. Its drives stay')
    .argument('<vm>', 'name or id')
    .requiredOption('--confirm <name>', 'its name once more')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm delete lab --confirm lab')
    .action((wanted: string, { confirm, json }: { confirm: string; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const { vmId, name } = await findVm(session, wanted);
        requireConfirm(confirm, name, 'its name');
        await ask(session, routes.vmDelete, { params: { vmId }, body: {} }, HOST_WORK_MS);
        await session.folder.changeKnownVms((known) => forget(known, vmId));
        reply(io, json, { vmId, name, deleted: true }, () => `${name}  ${vmId}  deleted`);
      }),
    );

  addInsideCommands(vms, io);
  addIsoCommands(vms, io);
  addVmDriveCommands(vms, io);
  addNfsCommands(vms, io);
  addAuditCommand(vms, io);
  addPeopleCommands(vms, io);
  addProfileCommands(vms, io);
}

async function create(io: ConnectIo, name: string, options: CreateOptions, command: Command): Promise<void> {
  const wanted = {
    name: checked(nameSchema, name, 'the name'),
    image: checked(imageNameSchema, options.image, '--image'),
    cores: options.cores,
    memoryMiB: toMiB(options.memory),
  };
  if (wanted.memoryMiB < 256) throw new VmcError('bad-request', '--memory is at least 256MiB.');
  await withSession(io, command, async (session) => {
    const hostId = options.host === undefined ? {} : { hostId: await findHostId(session, options.host) };
    const body = { ...wanted, ...hostId };
    const line = progressLine(io);
    line.show({ step: `${wanted.name}: being made on its host` });
    const made = await ask(session, routes.vmCreate, { params: {}, body }, HOST_WORK_MS).finally(line.end);
    await session.folder.changeKnownVms((known) => meant(known, made));
    await answerVm(session, made, options);
  });
}

async function answerVm(
  session: Session,
  vm: Vm,
  options: { wait?: boolean; timeout: number; json?: boolean },
): Promise<void> {
  const now = options.wait === true ? await waitUntilReady(session, vm, options.timeout) : vm;
  reply(session.io, options.json, shownVm(now), vmLine);
}
