/** `host-agent iso …` */
import type { Command } from 'commander';
import { answer, humanBytes, table } from '../../shared/cli/program.ts';
import { listIsos } from '../isos/isos.ts';
import { attachIso, ejectIso } from '../vms/isos.ts';
import { parseIsoId, parseVmId } from './parse.ts';
import type { CliContext, JsonOption } from './program.ts';
import { vmLines } from './vm.ts';

export function addIsoCommands(program: Command, { io, host }: CliContext): void {
  const iso = program.command('iso').description('ISO images of this host');

  iso
    .command('list')
    .description('the images in the pool')
    .option('--json', 'as JSON')
    .action(async (options: JsonOption) => {
      answer(io, options.json, await listIsos(await host()), (isos) =>
        table([['ISO', 'SIZE', 'NAME'], ...isos.map((it) => [it.isoId, humanBytes(it.sizeBytes), it.name])]),
      );
    });

  iso
    .command('attach')
    .description('put an image into a VM as a read-only disk, live if it runs')
    .argument('<iso>', 'its id', parseIsoId)
    .argument('<vm>', "the VM's id", parseVmId)
    .option('--json', 'as JSON')
    .action(async (id: string, vmId: string, options: JsonOption) => {
      answer(io, options.json, await attachIso(await host(), id, vmId), (it) => vmLines([it]));
    });

  iso
    .command('eject')
    .description('take an image out of a VM, and wait until the guest has let go')
    .argument('<iso>', 'its id', parseIsoId)
    .argument('<vm>', "the VM's id", parseVmId)
    .option('--json', 'as JSON')
    .action(async (id: string, vmId: string, options: JsonOption) => {
      answer(io, options.json, await ejectIso(await host(), id, vmId), (it) => vmLines([it]));
    });
}
