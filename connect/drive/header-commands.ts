/** `connect drive header`: a copy of the part of a drive without which no key opens it. */
import { readFile, stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { humanBytes, table } from '../../shared/cli/program.ts';
import { VmcError } from '../../shared/errors.ts';
import { writeOnce } from '../../shared/files.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { requireConfirm } from '../options.ts';
import { type Session, withSession } from '../session.ts';
import { findOwnDrive } from './find.ts';
import { backUpHeader, restoreHeader, storedHeaders, storeHeader } from './header-backup.ts';
import { type HeaderBackup, openHeader, SEALED_HEADER_MAX } from './header-envelope.ts';
import { insideVm } from './in-vm.ts';
import { statusLine } from './text.ts';

const iso = (milliseconds: number) => new Date(milliseconds).toISOString();

export function addHeaderCommands(drives: Command, io: ConnectIo): void {
  const headers = drives.command('header').description("Backups of a drive's LUKS header, sealed to you");

  headers
    .command('backup')
    .description(
      'Store a sealed copy at the backend, or in a file. Formatting and changes of keys do the first by themselves',
    )
    .argument('<drive>', 'name or id')
    .option('--file <file>', 'write it to a new file instead')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive header backup data --file data.header')
    .action((wanted: string, { file, json }: { file?: string; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findOwnDrive(session, wanted);
        const { driveId, name } = drive;
        const sealed = await insideVm(session, drive, {}, ({ rpc }) => backUpHeader(session, rpc, drive));
        const answer = { driveId, name, bytes: sealed.length };
        if (file === undefined) {
          const storedAt = await storeHeader(session, drive, sealed);
          reply(io, json, { ...answer, storedAt }, () => `${name}  ${humanBytes(sealed.length)} stored at the backend`);
        } else {
          if (!(await writeOnce(file, sealed, 0o600)))
            throw new VmcError(
              'already-exists',
              `${file} is there already.`,
              'It was not touched. Choose another name.',
            );
          reply(io, json, { ...answer, file }, () => `${name}  ${humanBytes(sealed.length)} written to ${file}`);
        }
      }),
    );

  headers
    .command('list')
    .description('The copies at the backend, newest first')
    .argument('<drive>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive header list data')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findOwnDrive(session, wanted);
        const found = await storedHeaders(session, drive);
        sayRefused(session, found.refused);
        const backups = found.headers.map(({ madeAt, header }) => ({ madeAt, bytes: header.length }));
        reply(io, json, { driveId: drive.driveId, backups, refused: found.refused }, (it) =>
          table([['MADE', 'SIZE'], ...it.backups.map(({ madeAt, bytes }) => [iso(madeAt), humanBytes(bytes)])]),
        );
      }),
    );

  headers
    .command('restore')
    .description(
      'Put a backup back on a closed drive whose header is damaged or gone. The VM tries it against the data first',
    )
    .argument('<drive>', 'name or id')
    .requiredOption('--confirm <id>', 'its id, drv…')
    .option('--file <file>', 'from this file instead of the backend')
    .option('--older', 'the older one of the two at the backend')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive header restore data --confirm drv0123456789abcdef')
    .action(
      (
        wanted: string,
        options: { confirm: string; file?: string; older?: boolean; json?: boolean },
        command: Command,
      ) =>
        withSession(io, command, async (session) => {
          const drive = await findOwnDrive(session, wanted);
          requireConfirm(options.confirm, drive.driveId, 'its id');
          const backup =
            options.file === undefined
              ? await fromBackend(session, drive, options.older === true)
              : openHeader(session.identity, drive.driveId, await fromFile(options.file));
          note(io, `The backup of ${iso(backup.madeAt)}, ${humanBytes(backup.header.length)}.`);
          const status = await insideVm(session, drive, { sendsKey: true }, ({ rpc }) =>
            restoreHeader(session, rpc, drive, backup.header),
          );
          reply(io, options.json, { ...status, madeAt: backup.madeAt }, () => statusLine(drive.name, status));
        }),
    );
}

async function fromBackend(session: Session, drive: Drive, older: boolean): Promise<HeaderBackup> {
  const { headers, refused } = await storedHeaders(session, drive);
  sayRefused(session, refused);
  const backup = headers[older ? 1 : 0];
  if (backup === undefined)
    throw new VmcError('not-found', `The backend has no ${older ? 'second ' : ''}header backup of ${drive.name}.`);
  return backup;
}

function sayRefused({ io }: Session, refused: number): void {
  if (refused > 0)
    note(io, `${refused} of the backups at the backend are damaged or not made by you. They are not used.`);
}

async function fromFile(path: string): Promise<Uint8Array> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() !== true) throw new VmcError('not-found', `There is no file ${path}.`);
  if (found.size > SEALED_HEADER_MAX) throw new VmcError('bad-data', `${path} is too long for a header backup.`);
  return new Uint8Array(await readFile(path));
}
