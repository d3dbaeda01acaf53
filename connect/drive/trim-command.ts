/** `connect drive trim`: unused blocks go back to the host, proven by the host's own figures. */
import type { Command } from 'commander';
import { driveMethods } from '../../shared/api/drive.ts';
import { humanBytes } from '../../shared/cli/program.ts';
import { errorMessage, VmcError } from '../../shared/errors.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import type { Control } from '../control.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { ask, type Session, withSession } from '../session.ts';
import { getVm } from '../vm/find.ts';
import { attachmentsOf, driveName, findDrive, isUp } from './find.ts';
import { callVmWithProgress, insideVm, statusInVm } from './in-vm.ts';

interface Trimmed {
  driveId: string;
  name: string;
  /** What the file system gave up, as it says. */
  trimmedBytes: number;
  /** What the file took on the host. */
  allocatedBefore: number;
  allocatedAfter: number;
}

export function addTrimCommand(drives: Command, io: ConnectIo): void {
  drives
    .command('trim')
    .description('Give unused blocks of a mounted drive back to the host, and prove it by the host’s own figure')
    .argument('[drive]', 'name or id')
    .option('--all', 'every drive that is open for writing in a VM that runs')
    .option('--vm <vm>', 'in which VM, when several have it')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive trim data\n  connect drive trim --all')
    .action((wanted: string | undefined, options: { all?: boolean; vm?: string; json?: boolean }, command: Command) => {
      if ((wanted === undefined) !== (options.all === true))
        throw new VmcError('bad-request', 'Say which drive, or --all.');
      return withSession(io, command, async (session) => {
        if (wanted === undefined) return trimAll(session, options.json);
        const drive = await findDrive(session, wanted);
        const trimmed = await insideVm(session, drive, { vm: options.vm }, ({ rpc }) => trim(session, rpc, drive));
        reply(io, options.json, trimmed, trimmedLine);
      });
    });
}

async function trim(session: Session, rpc: Control, drive: Drive): Promise<Trimmed> {
  const { driveId } = drive;
  const allocated = async () =>
    (await ask(session, routes.driveUsage, { params: { driveId }, body: {} })).allocatedBytes;
  const allocatedBefore = await allocated();
  const { trimmedBytes } = await callVmWithProgress(session, rpc, driveMethods.driveTrim, { driveId });
  return { driveId, name: driveName(drive), trimmedBytes, allocatedBefore, allocatedAfter: await allocated() };
}

/** One that cannot be trimmed does not keep the others from it. */
async function trimAll(session: Session, json: boolean | undefined): Promise<void> {
  const { io } = session;
  const { drives } = await ask(session, routes.driveList, { params: {}, body: {} });
  const trimmed: Trimmed[] = [];
  const failed: { driveId: string; name: string; problem: string }[] = [];
  for (const drive of drives) {
    const writer = attachmentsOf(drive).find((it) => !it.readOnly);
    if (writer === undefined) continue;
    try {
      if (!isUp(await getVm(session, writer.vmId))) continue;
      await insideVm(session, drive, { vm: writer.vmId }, async ({ rpc }) => {
        const { state, readOnly } = await statusInVm(session, rpc, drive.driveId);
        if (state === 'mounted' && readOnly !== true) trimmed.push(await trim(session, rpc, drive));
      });
    } catch (error) {
      io.signal.throwIfAborted();
      const name = driveName(drive);
      failed.push({ driveId: drive.driveId, name, problem: errorMessage(error) });
      note(io, `${name}: ${errorMessage(error)}`);
    }
  }
  reply(io, json, { trimmed, failed }, () => trimmed.map(trimmedLine).join('\n') || 'No drive is open for writing.');
  if (failed.length > 0)
    throw new VmcError('command-failed', `${failed.length} of your drives could not be trimmed.`, 'See above.');
}

const trimmedLine = (it: Trimmed) =>
  `${it.name}  fstrim: ${humanBytes(it.trimmedBytes)} · on the host: ${humanBytes(it.allocatedBefore)} before, ${humanBytes(it.allocatedAfter)} after`;
