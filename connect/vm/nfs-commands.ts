/** NFS exports in a VM, read-only, from the servers that its site names. */
import type { Command } from 'commander';
import { controlMethods } from '../../shared/api/index.ts';
import { type NfsStatus, nfsExportSchema } from '../../shared/api/media.ts';
import { nameSchema } from '../../shared/names.ts';
import { withControl } from '../channel.ts';
import { type ConnectIo, reply } from '../io.ts';
import { checked } from '../options.ts';
import { withSession } from '../session.ts';
import { findVm } from './find.ts';

/** More than the VM itself waits for a server. */
const MOUNT_MS = 180_000;

export function addNfsCommands(vms: Command, io: ConnectIo): void {
  const nfs = vms.command('nfs').description('NFS exports in a VM, read-only');

  nfs
    .command('list')
    .description('The NFS servers that a VM may use, and what is mounted')
    .argument('<vm>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm nfs list lab')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        const found = await withControl(session, vm, (rpc) =>
          rpc.call(controlMethods.nfsList, {}, { signal: io.signal }),
        );
        reply(io, json, { vmId: vm.vmId, ...found }, nfsText);
      }),
    );

  nfs
    .command('mount')
    .description('Mount an NFS export in a VM under /mnt, read-only whatever the server allows')
    .argument('<vm>', 'name or id')
    .argument('<export>', 'SERVER:/PATH, with the IPv4 address of the server')
    .argument('<name>', 'folder under /mnt')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm nfs mount lab 10.0.0.5:/export/reference reference')
    .action((wanted: string, from: string, folder: string, { json }: { json?: boolean }, command: Command) => {
      const request = {
        ...checked(nfsExportSchema, from, 'the export'),
        name: checked(nameSchema, folder, 'the name'),
      };
      return withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        const options = { signal: io.signal, timeoutMs: MOUNT_MS };
        const mounted = await withControl(session, vm, (rpc) => rpc.call(controlMethods.nfsMount, request, options));
        const shown = { vmId: vm.vmId, ...request, ...mounted };
        reply(io, json, shown, () => `${from}  mounted at ${mounted.mountPoint}, read-only`);
      });
    });

  nfs
    .command('unmount')
    .description('Unmount an NFS export in a VM. Says who holds it when it is busy')
    .argument('<vm>', 'name or id')
    .argument('<name>', 'folder under /mnt')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm nfs unmount lab reference')
    .action((wanted: string, folder: string, { json }: { json?: boolean }, command: Command) => {
      const name = checked(nameSchema, folder, 'the name');
      return withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        const options = { signal: io.signal, timeoutMs: MOUNT_MS };
        await withControl(session, vm, (rpc) => rpc.call(controlMethods.nfsUnmount, { name }, options));
        reply(io, json, { vmId: vm.vmId, name, mounted: false }, () => `${name}  unmounted`);
      });
    });
}

function nfsText({ servers, mounts }: { servers: readonly string[]; mounts: readonly NfsStatus[] }): string {
  const head = servers.length === 0 ? 'This VM may use no NFS server.' : `servers: ${servers.join(', ')}`;
  return [head, ...mounts.map((it) => `${it.name}  ${it.server}:${it.path}  ${it.mountPoint}`)].join('\n');
}
