/** Where a drive is: attach, detach. */
import type { Command } from 'commander';
import { routes } from '../../shared/rest-api/index.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { checkName, meant, nameHere } from '../known-vms.ts';
import { ask, type Session, withSession } from '../session.ts';
import { findVm } from '../vm/find.ts';
import { detachInOrder } from './detach.ts';
import { driveName, findDrive, vmOfDrive } from './find.ts';
import { HOST_WORK_MS } from './in-vm.ts';
import { driveLine, shownDrive } from './text.ts';

export function addPlaceCommands(drives: Command, io: ConnectIo): void {
  drives
    .command('attach')
    .description('Attach a drive to a VM, live when it runs: read-write to one VM, or read-only to any number')
    .argument('<drive>', 'name or id')
    .argument('<vm>', 'name or id')
    .option('--ro', 'read-only')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive attach data lab\n  connect drive attach data@ada lab --ro')
    .action((wanted: string, wantedVm: string, { ro, json }: { ro?: boolean; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findDrive(session, wanted);
        const { driveId } = drive;
        const vm = await findVm(session, wantedVm);
        const here = { ...vm, name: nameHere(vm, session.user.userId) };
        checkName(await session.folder.knownVms(), here);
        if (drive.access === 'ro' && ro !== true)
          note(io, `${driveName(drive)} was shared with you for reading: it is attached read-only.`);
        const body = { vmId: vm.vmId, readOnly: ro === true || drive.access === 'ro' };
        const attached = await ask(session, routes.driveAttach, { params: { driveId }, body }, HOST_WORK_MS);
        await session.folder.changeKnownVms((known) => meant(known, here));
        reply(io, json, shownDrive(attached), driveLine);
      }),
    );

  drives
    .command('detach')
    .description('Close a drive in its VM, detach it, and see that the VM does not have it any more')
    .argument('<drive>', 'name or id')
    .option('--vm <vm>', 'from which VM, when several have it')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive detach data')
    .action((wanted: string, { vm, json }: { vm?: string; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const detached = await detach(session, await findDrive(session, wanted), vm);
        reply(io, json, shownDrive(detached), driveLine);
      }),
    );
}

async function detach(session: Session, drive: Drive, wantedVm: string | undefined): Promise<Drive> {
  const { vm } = await vmOfDrive(session, drive, wantedVm);
  const { driveId } = drive;
  return detachInOrder(session, vm, { driveId, name: driveName(drive) }, () =>
    ask(session, routes.driveDetach, { params: { driveId }, body: { vmId: vm.vmId } }, HOST_WORK_MS),
  );
}
