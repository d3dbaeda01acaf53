/** `connect drive`: one file for each side of a drive's life; this one only puts them together. */
import type { Command } from 'commander';
import type { ConnectIo } from '../io.ts';
import { addFileCommands } from './file-commands.ts';
import { addHeaderCommands } from './header-commands.ts';
import { addInsideCommands } from './inside-commands.ts';
import { addKeyCommands } from './key-commands.ts';
import { addLookCommands } from './look-commands.ts';
import { addPeopleCommands } from './people-commands.ts';
import { addPlaceCommands } from './place-commands.ts';
import { addReencryptCommand } from './reencrypt-command.ts';
import { addSnapshotCommands } from './snapshot-commands.ts';

export function addDriveCommands(program: Command, io: ConnectIo): void {
  const drives = program.command('drive').description('Your encrypted drives, and those that were shared with you');
  addFileCommands(drives, io);
  addLookCommands(drives, io);
  addPlaceCommands(drives, io);
  addInsideCommands(drives, io);
  addPeopleCommands(drives, io);
  addKeyCommands(drives, io);
  addReencryptCommand(drives, io);
  addHeaderCommands(drives, io);
  addSnapshotCommands(drives, io);
}
