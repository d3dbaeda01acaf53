/** Hosts: the servers on which VMs run. */
import type { Command } from 'commander';
import { humanBytes, table } from '../../shared/cli/program.ts';
import { nameSchema } from '../../shared/names.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Host } from '../../shared/rest-api/machines.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { checked } from '../options.ts';
import { ask, withSession } from '../session.ts';

export function addHostCommands(program: Command, io: ConnectIo): void {
  const hosts = program.command('host').description('The servers on which VMs run');

  hosts
    .command('add')
    .description('Register a host; its agent enrols with the id and the one-time token that this prints')
    .argument('<name>', 'name of the host')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect host add rack1 --json > rack1.json')
    .action((name: string, { json }: { json?: boolean }, command: Command) => {
      const body = { name: checked(nameSchema, name, 'the name') };
      return withSession(io, command, async (session) => {
        const added = await ask(session, routes.hostAdd, { params: {}, body });
        reply(io, json, added, ({ hostId, enrolToken }) => `host   ${hostId}\ntoken  ${enrolToken}`);
        if (json !== true)
          note(
            io,
            `On the server: host-agent enrol --host-id ${added.hostId} --token-fd 3 3<FILE  (the token works once)`,
          );
      });
    });

  hosts
    .command('list')
    .description('All hosts, their state and what is free')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect host list')
    .action(({ json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const answer = await ask(session, routes.hostList, { params: {}, body: {} });
        reply(io, json, answer, () =>
          table([['NAME', 'ID', 'STATE', 'ADDRESS', 'CORES', 'MEMORY FREE', 'LIBVIRT'], ...answer.hosts.map(row)]),
        );
      }),
    );
}

function row({ name, hostId, state, address, report }: Host): string[] {
  const free = report === undefined ? '-' : humanBytes(report.utilisation.memoryFreeBytes);
  const libvirt = report === undefined ? '-' : report.libvirt.ok ? 'ok' : (report.libvirt.problem ?? 'down');
  return [name, hostId, state, address ?? '-', String(report?.utilisation.cores ?? '-'), free, libvirt];
}
