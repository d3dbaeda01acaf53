/** `host-agent vm …` */
import { open } from 'node:fs/promises';
import type { Command } from 'commander';
import { type VmStatus, vmSpecSchema } from '../../shared/agent-api/index.ts';
import { bootstrapSchema } from '../../shared/bootstrap.ts';
import { answer, table } from '../../shared/cli/program.ts';
import { readSecretFd } from '../../shared/cli/secret.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { printable } from '../../shared/run.ts';
import { parseJson } from '../../shared/validate.ts';
import { CREDENTIAL_PREFIX } from '../domains/domain-xml.ts';
import { consoleLogPath } from '../host.ts';
import { createVm } from '../vms/create.ts';
import { deleteVm } from '../vms/delete.ts';
import { shutdownVm, startVm } from '../vms/power.ts';
import { listVms } from '../vms/status.ts';
import { parseCount, parsed, parseFd, parseVmId } from './parse.ts';
import type { CliContext, JsonOption } from './program.ts';

const CONSOLE_TAIL_BYTES = 256 * 1024;

export const vmLines = (vms: readonly VmStatus[]): string =>
  table([
    ['VM', 'STATE', 'ADDRESS', 'HOST PORT', 'DRIVES', 'ISO IMAGES'],
    ...vms.map((it) => [
      it.vmId,
      it.pausedBecause === undefined ? it.state : `${it.state}: ${it.pausedBecause}`,
      it.address ?? '-',
      String(it.hostPort ?? '-'),
      it.attached.map((drive) => drive.driveId + (drive.readOnly ? ' (read-only)' : '')).join(', ') || '-',
      it.isos?.join(', ') ?? '-',
    ]),
  ]);

export function addVmCommands(program: Command, { io, host }: CliContext): void {
  const vm = program.command('vm').description('virtual machines');

  vm.command('create')
    .description('make and start a VM; repeating it finishes what was cut short')
    .argument('<vm>', 'its id', parseVmId)
    .requiredOption('--image <name>', 'an image of the pool')
    .requiredOption('--bootstrap-fd <n>', 'descriptor to read the bootstrap document (JSON) from', parseFd)
    .option('--cores <n>', 'virtual cores', (text) => parseCount(text, 512), 2)
    .option('--memory-mib <n>', 'memory', (text) => parseCount(text, 2 ** 24), 2048)
    .option('--json', 'as JSON')
    .action(
      async (
        vmId: string,
        options: JsonOption & { image: string; bootstrapFd: number; cores: number; memoryMib: number },
      ) => {
        const spec = parsed(vmSpecSchema, {
          vmId,
          image: options.image,
          cores: options.cores,
          memoryMiB: options.memoryMib,
        });
        const text = new TextDecoder().decode(readSecretFd(options.bootstrapFd, 'The bootstrap document'));
        const status = await createVm(await host(), spec, parseJson(bootstrapSchema, text, 'The bootstrap document'), {
          progress: ({ step }) => void io.stderr.write(`${step}\n`),
        });
        answer(io, options.json, status, (it) => vmLines([it]));
      },
    );

  vm.command('list')
    .description('all VMs of this host')
    .option('--json', 'as JSON')
    .action(async (options: JsonOption) => {
      answer(io, options.json, await listVms(await host()), vmLines);
    });

  vm.command('xml')
    .description("the VM's libvirt document, without its one-time token")
    .argument('<vm>', 'its id', parseVmId)
    .action(async (vmId: string) => {
      const xml = await (await host()).virsh.run(['dumpxml', vmId]);
      io.stdout.write(redactBootstrap(xml));
    });

  vm.command('start')
    .description('start a VM')
    .argument('<vm>', 'its id', parseVmId)
    .option('--json', 'as JSON')
    .action(async (vmId: string, options: JsonOption) => {
      answer(io, options.json, await startVm(await host(), vmId), (it) => vmLines([it]));
    });

  vm.command('shutdown')
    .description('ask the guest to shut down and wait for it')
    .argument('<vm>', 'its id', parseVmId)
    .option('--wait <seconds>', 'how long (default: shutdownWaitSeconds)', (text) => parseCount(text, 600))
    .option('--force', 'then cut its power')
    .option('--json', 'as JSON')
    .action(async (vmId: string, options: JsonOption & { wait?: number; force?: boolean }) => {
      const it = await host();
      const wait = options.wait ?? it.config.shutdownWaitSeconds;
      answer(io, options.json, await shutdownVm(it, vmId, wait, options.force === true), (status) => vmLines([status]));
    });

  vm.command('delete')
    .description('remove a VM that is off, with its root disk; its drives stay')
    .argument('<vm>', 'its id', parseVmId)
    .option('--json', 'as JSON')
    .action(async (vmId: string, options: JsonOption) => {
      if (!(await deleteVm(await host(), vmId))) throw new VmcError('not-found', `This host has no VM ${vmId}.`);
      answer(io, options.json, { deleted: vmId }, (it) => `deleted ${it.deleted}`);
    });

  vm.command('console-log')
    .description('the end of what the VM wrote to its serial console')
    .argument('<vm>', 'its id', parseVmId)
    .action(async (vmId: string) => {
      io.stdout.write(printable((await tail(consoleLogPath(await host(), vmId))).replaceAll('\r', '')));
    });
}

/** The guest wrote this: whoever prints it escapes it first. */
async function tail(path: string): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const length = Math.min(size, CONSOLE_TAIL_BYTES);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      throw new VmcError('not-found', 'That VM has no console log.', 'Has it been started?');
    throw error;
  }
}

export function redactBootstrap(xml: string): string {
  const [before, ...after] = xml.split(CREDENTIAL_PREFIX);
  return [before, ...after.map((part) => part.replace(/^[A-Za-z0-9+/=]*/, '[bootstrap]'))].join(CREDENTIAL_PREFIX);
}
