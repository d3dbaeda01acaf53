/** `connect drive reencrypt`: all of a drive anew, while people go on working. Ctrl-C pauses it. */
import type { Command } from 'commander';
import type { DriveStatus } from '../../shared/api/drive.ts';
import { driveKeyMethods } from '../../shared/api/drive-keys.ts';
import { VmcError } from '../../shared/errors.ts';
import { toBase64 } from '../../shared/names.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import type { Control } from '../control.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { type Session, withSession } from '../session.ts';
import { findOwnDrive } from './find.ts';
import { keepHeader } from './header-backup.ts';
import { callVmWithProgress, insideVm, LONGEST_WORK_MS } from './in-vm.ts';
import { withDriveKey } from './key.ts';

export function addReencryptCommand(drives: Command, io: ConnectIo): void {
  drives
    .command('reencrypt')
    .description('Encrypt all of a drive anew. It stays in use; Ctrl-C pauses it, and asked again it goes on')
    .argument('<drive>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive reencrypt data')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findOwnDrive(session, wanted);
        const { driveId, name } = drive;
        const { state, status } = await insideVm(session, drive, { sendsKey: true }, async ({ rpc }) => {
          const result = await saidPaused(drive, reencrypt(session, rpc, drive));
          if (result.state === 'done') await keepHeader(session, rpc, drive);
          return result;
        });
        if (state === 'done')
          note(
            io,
            `Backups of its header from before are of no use now. Its file may have grown: ${trimCommands(name, status)}`,
          );
        reply(io, json, { ...status, driveId, reencrypted: state }, () =>
          state === 'done'
            ? `${name}  encrypted anew`
            : status.reencryption === undefined
              ? `${name}  stopped before it began, nothing was changed: connect drive reencrypt ${name} begins it`
              : `${name}  paused: connect drive reencrypt ${name} goes on`,
        );
      }),
    );
}

/** What a btrfs has never used it gives back once only for each time it is mounted (fs/btrfs: CHUNK_TRIMMED). */
const trimCommands = (name: string, { fileSystem, state }: DriveStatus) =>
  fileSystem === 'btrfs' && state === 'mounted'
    ? `connect drive close ${name}, open it again, then connect drive trim ${name}`
    : `connect drive trim ${name}`;

const reencrypt = (session: Session, rpc: Control, drive: Drive) =>
  withDriveKey(session, drive, (key) => {
    const params = { driveId: drive.driveId, key: toBase64(key) };
    return callVmWithProgress(session, rpc, driveKeyMethods.driveReencrypt, params, LONGEST_WORK_MS);
  });

async function saidPaused<T>({ name }: Drive, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof VmcError && ['cancelled', 'unreachable', 'outcome-unknown'].includes(error.code)))
      throw error;
    throw new VmcError(
      error.code,
      error.code === 'cancelled'
        ? `The VM was told to pause. ${name} can be used as before. Whether some of it is encrypted anew: connect drive info ${name}`
        : `${error.message} ${name} can be used as before.`,
      `To go on: connect drive reencrypt ${name}`,
      { cause: error },
    );
  }
}
