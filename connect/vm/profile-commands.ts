/** `connect vm profile`: named sets of rights in a VM (C9). */
import type { Command } from 'commander';
import { controlMethods } from '../../shared/api/index.ts';
import { RIGHTS, type Right } from '../../shared/api/rights.ts';
import { table } from '../../shared/cli/program.ts';
import { nameSchema } from '../../shared/names.ts';
import { type ConnectIo, reply } from '../io.ts';
import { checked } from '../options.ts';
import { inVm, rightList } from './people-commands.ts';
import { notePeopleVersion } from './people-version.ts';

export function addProfileCommands(vms: Command, io: ConnectIo): void {
  const profiles = vms.command('profile').description('Named sets of rights in a VM');

  profiles
    .command('list')
    .description('The profiles of a VM, and who has them')
    .argument('<vm>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm profile list lab')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      inVm(io, command, wanted, async (session, vm, rpc) => {
        const listed = await rpc.call(controlMethods.profileList, {}, { signal: io.signal });
        await notePeopleVersion(session, vm, listed.version);
        reply(io, json, { vmId: vm.vmId, ...listed }, () =>
          table([
            ['NAME', 'RIGHTS', 'PEOPLE'],
            ...listed.profiles.map(({ name, rights, people }) => [
              name,
              rights.join(',') || '-',
              people.join(', ') || '-',
            ]),
          ]),
        );
      }),
    );

  profiles
    .command('set')
    .description('Make a profile, or change what everybody with it may do, at once')
    .argument('<vm>', 'name or id')
    .argument('<profile>', 'name of the profile')
    .requiredOption('--rights <list>', `of: ${RIGHTS.join(',')}`, rightList)
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm profile set lab students --rights files,upload,terminal')
    .action((wanted: string, name: string, { rights, json }: { rights: Right[]; json?: boolean }, command: Command) => {
      const profile = { name: checked(nameSchema, name, 'the name'), rights };
      return inVm(io, command, wanted, async (session, vm, rpc) => {
        const { version } = await rpc.call(controlMethods.profileSet, profile, { signal: io.signal });
        await notePeopleVersion(session, vm, version);
        reply(io, json, { vmId: vm.vmId, version, ...profile }, () => `${name}  ${rights.join(',') || '-'}`);
      });
    });

  profiles
    .command('remove')
    .description('Remove a profile that nobody has')
    .argument('<vm>', 'name or id')
    .argument('<profile>', 'name of the profile')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm profile remove lab students')
    .action((wanted: string, name: string, { json }: { json?: boolean }, command: Command) =>
      inVm(io, command, wanted, async (session, vm, rpc) => {
        const profile = { name: checked(nameSchema, name, 'the name') };
        const { version } = await rpc.call(controlMethods.profileRemove, profile, { signal: io.signal });
        await notePeopleVersion(session, vm, version);
        reply(io, json, { vmId: vm.vmId, version, ...profile, removed: true }, () => `${name}  removed`);
      }),
    );
}
