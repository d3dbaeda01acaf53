/** The drives of a VM of one's own, also those that others have attached to it. */
import type { Command } from 'commander';
import { type DriveStatus, driveMethods } from '../../shared/api/drive.ts';
import { table } from '../../shared/cli/program.ts';
import { errorMessage } from '../../shared/errors.ts';
import { driveIdSchema } from '../../shared/names.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Vm } from '../../shared/rest-api/machines.ts';
import type { VmDrive } from '../../shared/rest-api/vm-drives.ts';
import { withControl } from '../channel.ts';
import { detachInOrder } from '../drive/detach.ts';
import { callVm, HOST_WORK_MS } from '../drive/in-vm.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { checked } from '../options.ts';
import { ask, type Session, withSession } from '../session.ts';
import { findVm } from './find.ts';

export function addVmDriveCommands(vms: Command, io: ConnectIo): void {
  const drives = vms.command('drive').description('The drives of a VM of yours, whosever they are');

  drives
    .command('list')
    .description('The drives that a VM of yours has, and whose they are')
    .argument('<vm>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm drive list lab')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        reply(io, json, { vmId: vm.vmId, drives: await list(session, vm) }, (shown) => driveTable(shown.drives));
      }),
    );

  drives
    .command('detach')
    .description("Close a drive in a VM of yours and detach it, also somebody else's drive")
    .argument('<vm>', 'name or id')
    .argument('<drive>', 'its id, as the list has it')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm drive detach lab drv0123456789abcdef')
    .action((wanted: string, id: string, { json }: { json?: boolean }, command: Command) => {
      const driveId = checked(driveIdSchema, id, "the drive's id");
      return withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        const { vmId } = vm;
        await detachInOrder(session, vm, { driveId, name: driveId }, () =>
          ask(session, routes.vmDriveDetach, { params: { vmId, driveId }, body: {} }, HOST_WORK_MS),
        );
        reply(io, json, { vmId, driveId, attached: false }, () => `${driveId}  detached`);
      });
    });
}

type ShownDrive = VmDrive & Partial<Pick<DriveStatus, 'state' | 'mountPoint'>>;

/** What they are inside is asked of the VM itself, when it can be. */
async function list(session: Session, vm: Vm): Promise<ShownDrive[]> {
  const { drives } = await ask(session, routes.vmDriveList, { params: { vmId: vm.vmId }, body: {} });
  if (!vm.ready || drives.length === 0) return drives;
  const inside = await withControl(session, vm, (rpc) => callVm(session, rpc, driveMethods.driveList, {})).catch(
    (error: unknown) => {
      note(session.io, `What is open, the VM does not say: ${errorMessage(error)}`);
      return { drives: [] };
    },
  );
  return drives.map((drive) => {
    const there = inside.drives.find((it) => it.driveId === drive.driveId);
    if (there === undefined) return drive;
    const { state, mountPoint } = there;
    return { ...drive, state, ...(mountPoint === undefined ? {} : { mountPoint }) };
  });
}

function driveTable(drives: readonly ShownDrive[]): string {
  const rows = drives.map((it) => [
    it.driveId,
    it.ownerName ?? it.ownerId,
    it.readOnly ? 'read-only' : 'read-write',
    it.mountPoint ?? it.state ?? '-',
  ]);
  return table([['ID', 'OWNER', 'ATTACHED', 'IN THE VM'], ...rows]);
}
