/** ISO images: of the VM's host, in and out of the VM as read-only disks, and mounted in it. */
import type { Command } from 'commander';
import { controlMethods } from '../../shared/api/index.ts';
import type { IsoStatus } from '../../shared/api/media.ts';
import { humanBytes, table } from '../../shared/cli/program.ts';
import { errorMessage } from '../../shared/errors.ts';
import { isoIdSchema, nameSchema } from '../../shared/names.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Vm } from '../../shared/rest-api/machines.ts';
import { withControl } from '../channel.ts';
import type { Control } from '../control.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { checked } from '../options.ts';
import { resolve } from '../resolve.ts';
import { ask, type Session, withSession } from '../session.ts';
import { findVm } from './find.ts';

/** More than the backend itself waits for a host. */
const HOST_WORK_MS = 330_000;
/** A disk that was attached just now may take a while to show. */
const MOUNT_MS = 120_000;

export function addIsoCommands(vms: Command, io: ConnectIo): void {
  const isos = vms.command('iso').description("ISO images of a VM's host, read-only");

  isos
    .command('list')
    .description("The images of the VM's host, and which of them the VM has")
    .argument('<vm>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm iso list lab')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        reply(io, json, { vmId: vm.vmId, isos: await list(session, vm) }, (shown) => isoTable(shown.isos));
      }),
    );

  isos
    .command('attach')
    .description('Put an image into a VM as a read-only disk, live when it runs; with --as mount it too')
    .argument('<vm>', 'name or id')
    .argument('<iso>', 'name or id')
    .option('--as <name>', 'mount it in the VM, as a folder of this name under /mnt')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm iso attach lab tools --as tools')
    .action((wanted: string, image: string, options: { as?: string; json?: boolean }, command: Command) => {
      const name = options.as === undefined ? undefined : checked(nameSchema, options.as, '--as');
      return withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        const iso = await findIso(session, vm, image);
        await ask(session, routes.isoAttach, { params: { vmId: vm.vmId, isoId: iso.isoId }, body: {} }, HOST_WORK_MS);
        const where = name === undefined ? undefined : await mount(session, vm, iso.isoId, name);
        const shown = { vmId: vm.vmId, isoId: iso.isoId, name: iso.name, attached: true, ...where };
        reply(io, options.json, shown, () => isoLine(iso.name, where?.mountPoint));
      });
    });

  isos
    .command('eject')
    .description('Unmount an image in the VM, then take it out. Says who holds it when it is busy')
    .argument('<vm>', 'name or id')
    .argument('<iso>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm iso eject lab tools')
    .action((wanted: string, image: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        const isoId = await idOf(session, vm, image);
        if (vm.state !== 'off' && vm.state !== 'absent')
          await withControl(session, vm, (rpc) => unmount(rpc, io, isoId));
        await ask(session, routes.isoEject, { params: { vmId: vm.vmId, isoId }, body: {} }, HOST_WORK_MS);
        reply(io, json, { vmId: vm.vmId, isoId, attached: false }, () => `${image}  ejected`);
      }),
    );

  isos
    .command('mount')
    .description('Mount an attached image in the VM under /mnt, read-only')
    .argument('<vm>', 'name or id')
    .argument('<iso>', 'name or id')
    .argument('<name>', 'folder under /mnt')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm iso mount lab tools tools')
    .action((wanted: string, image: string, folder: string, { json }: { json?: boolean }, command: Command) => {
      const name = checked(nameSchema, folder, 'the name');
      return withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        const isoId = await idOf(session, vm, image);
        const { mountPoint } = await mount(session, vm, isoId, name);
        reply(io, json, { vmId: vm.vmId, isoId, mountPoint, readOnly: true }, () => isoLine(image, mountPoint));
      });
    });

  isos
    .command('unmount')
    .description('Unmount an image in the VM. Says who holds it when it is busy')
    .argument('<vm>', 'name or id')
    .argument('<iso>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm iso unmount lab tools')
    .action((wanted: string, image: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        const isoId = await idOf(session, vm, image);
        await withControl(session, vm, (rpc) => unmount(rpc, io, isoId));
        reply(io, json, { vmId: vm.vmId, isoId, mounted: false }, () => `${image}  unmounted`);
      }),
    );
}

interface ShownIso {
  isoId: string;
  name: string;
  sizeBytes: number;
  attached: boolean;
  mountPoint?: string;
}

const inPool = async (session: Session, { vmId }: Vm) =>
  (await ask(session, routes.isoList, { params: { vmId }, body: {} })).isos;

const findIso = async (session: Session, vm: Vm, wanted: string) =>
  resolve(await inPool(session, vm), ({ isoId }) => isoId, wanted, 'ISO image');

/** An id needs no look at the pool: the image may be in the VM and gone from there. */
const idOf = async (session: Session, vm: Vm, wanted: string): Promise<string> =>
  isoIdSchema.safeParse(wanted).success ? wanted : (await findIso(session, vm, wanted)).isoId;

/** Where they are mounted is asked of the VM itself, when it can be. */
async function list(session: Session, vm: Vm): Promise<ShownIso[]> {
  const isos = await inPool(session, vm);
  if (!vm.ready || !isos.some(({ attached }) => attached)) return isos;
  const inside = await withControl(session, vm, (rpc) => attachedIn(rpc, session.io)).catch((error: unknown) => {
    note(session.io, `Where they are mounted, the VM does not say: ${errorMessage(error)}`);
    return [];
  });
  return isos.map((iso) => {
    const mountPoint = inside.find(({ isoId }) => isoId === iso.isoId)?.mountPoint;
    return { ...iso, ...(mountPoint === undefined ? {} : { mountPoint }) };
  });
}

const attachedIn = async (rpc: Control, { signal }: ConnectIo): Promise<IsoStatus[]> =>
  (await rpc.call(controlMethods.isoList, {}, { signal })).isos;

function mount(session: Session, vm: Vm, isoId: string, name: string) {
  const options = { signal: session.io.signal, timeoutMs: MOUNT_MS };
  return withControl(session, vm, (rpc) => rpc.call(controlMethods.isoMount, { isoId, name }, options));
}

async function unmount(rpc: Control, { signal }: ConnectIo, isoId: string): Promise<void> {
  await rpc.call(controlMethods.isoUnmount, { isoId }, { signal, timeoutMs: MOUNT_MS });
}

const isoLine = (name: string, mountPoint: string | undefined) =>
  `${name}  ${mountPoint === undefined ? 'attached' : `mounted at ${mountPoint}, read-only`}`;

function isoTable(isos: readonly ShownIso[]): string {
  const rows = isos.map((it) => [
    it.name,
    it.isoId,
    humanBytes(it.sizeBytes),
    it.mountPoint ?? (it.attached ? 'attached' : '-'),
  ]);
  return table([['NAME', 'ID', 'SIZE', 'IN THE VM'], ...rows]);
}
