/** Looking at drives: list, show, info, usage. */
import type { Command } from 'commander';
import { driveMethods } from '../../shared/api/drive.ts';
import { humanBytes } from '../../shared/cli/program.ts';
import { VmcError } from '../../shared/errors.ts';
import { type DrivePerson, drivePeopleRoutes } from '../../shared/rest-api/drive-people.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import { withControl } from '../channel.ts';
import { type ConnectIo, reply } from '../io.ts';
import { ask, type Session, withSession } from '../session.ts';
import { getVm } from '../vm/find.ts';
import { attachmentsOf, driveName, findDrive, isUp } from './find.ts';
import { callVm } from './in-vm.ts';
import { driveDetails, driveTable, type InVm, infoText, shownDrive } from './text.ts';

export function addLookCommands(drives: Command, io: ConnectIo): void {
  drives
    .command('list')
    .description('Your drives, and those that were shared with you (NAME@OWNER)')
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
    .description('One drive, as the backend knows it')
    .argument('<drive>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive show data')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findDrive(session, wanted);
        reply(io, json, { ...shownDrive(drive), ...(await sharedWith(session, drive)) }, driveDetails);
      }),
    );

  drives
    .command('info')
    .description('One drive, with what its host and its VMs say of it now, and with whom it is shared')
    .argument('<drive>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive info data')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findDrive(session, wanted);
        const { driveId } = drive;
        const usage = await orProblem(ask(session, routes.driveUsage, { params: { driveId }, body: {} }));
        const sharing = await sharedWith(session, drive);
        const inside = [];
        for (const { vmId } of attachmentsOf(drive)) inside.push(await insideOf(session, drive, vmId));
        const found = { ...usage, ...sharing, inside };
        reply(io, json, { ...shownDrive(drive), ...found }, infoText);
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
        const drive = await findDrive(session, wanted);
        const { driveId } = drive;
        const usage = await ask(session, routes.driveUsage, { params: { driveId }, body: {} });
        reply(
          io,
          json,
          { driveId, name: drive.name, ...usage },
          () =>
            `${driveName(drive)}  ${humanBytes(usage.allocatedBytes)} of ${humanBytes(usage.sizeBytes)} taken on the host`,
        );
      }),
    );
}

/** For its owner: others are not told. */
async function sharedWith(session: Session, { driveId, access }: Drive): Promise<{ people?: DrivePerson[] }> {
  if (access !== 'owner') return {};
  const answer = await orProblem(ask(session, drivePeopleRoutes.drivePeople, { params: { driveId }, body: {} }));
  return 'people' in answer ? answer : {};
}

/** Who cannot be asked now does not keep the rest from being shown. */
async function orProblem<T>(answer: Promise<T>): Promise<T | { problem: string }> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof VmcError && error.code !== 'cancelled') return { problem: error.message };
    throw error;
  }
}

async function insideOf(session: Session, { driveId }: Drive, vmId: string): Promise<InVm> {
  const found = await orProblem(
    (async () => {
      const vm = await getVm(session, vmId);
      const named = { vmId, vm: vm.name };
      if (!isUp(vm)) return { ...named, problem: `The VM is ${vm.state}.` };
      const { drives } = await withControl(session, vm, (rpc) => callVm(session, rpc, driveMethods.driveList, {}));
      return { ...named, status: drives.find((it) => it.driveId === driveId) ?? { driveId, state: 'absent' as const } };
    })(),
  );
  return { vmId, ...found };
}
