/** connect: the tool of a person. One folder for each noun; this file only puts them together. */
import type { Command } from 'commander';
import manifest from '../package.json' with { type: 'json' };
import { makeProgram, runProgram } from '../shared/cli/program.ts';
import { addAccountCommands } from './account/commands.ts';
import { addKeyCommands } from './account/key-commands.ts';
import { addDriveCommands } from './drive/commands.ts';
import { addEndpointCommands } from './endpoint/commands.ts';
import { addHostCommands } from './host/commands.ts';
import type { ConnectIo } from './io.ts';
import { addJobCommands } from './job/commands.ts';
import { descriptor } from './options.ts';
import { addSftpCommands } from './sftp/commands.ts';
import { addTunnelCommand } from './tunnel/command.ts';
import { addVmCommands } from './vm/commands.ts';

export type { ConnectIo } from './io.ts';

/** @param handOn told the exit code of a program that ran in connect's place. */
export function connectProgram(io: ConnectIo, handOn: (code: number) => void = () => {}): Command {
  const program = makeProgram('connect', 'Your keys, VMs, drives and tunnels', manifest.version)
    .configureHelp({ showGlobalOptions: true })
    .option('--dir <folder>', `your folder: identity, backend, known VMs (default: ${io.defaultFolder})`)
    .option('--passphrase-fd <n>', "read the identity's passphrase from this descriptor, not the terminal", descriptor);
  addKeyCommands(program, io);
  addAccountCommands(program, io);
  addHostCommands(program, io);
  addVmCommands(program, io);
  addDriveCommands(program, io);
  addJobCommands(program, io);
  addTunnelCommand(program, io);
  addSftpCommands(program, io, handOn);
  addEndpointCommands(program, io);
  return program;
}

/** @param argv without the program's name. @returns the exit code; nothing is thrown. */
export async function runConnect(argv: readonly string[], io: ConnectIo): Promise<number> {
  let handedOn = 0;
  const program = connectProgram(io, (code) => {
    handedOn = code;
  });
  return (await runProgram(program, argv, io)) || handedOn;
}
