/** What each main.ts does, with streams in memory. */
import { makeBackendProgram } from '../../backend/cli.ts';
import { runConnect } from '../../connect/cli.ts';
import { hostAgentProgram } from '../../host-agent/cli/program.ts';
import { runProgram } from '../../shared/cli/program.ts';
import { runCli } from '../../vmc/cli.ts';
import { fakeIo } from '../unit/connect/fake-io.ts';
import type { Cli } from './clis.ts';

type Io = ReturnType<typeof fakeIo>;

const inMemory =
  (main: (argv: string[], io: Io) => Promise<number>): Cli =>
  async (...argv) => {
    const io = fakeIo({ folder: '/home/you/.config/vmc' });
    return { code: await main(argv, io), stdout: io.output(), stderr: io.errors() };
  };
const notStarted = () => Promise.reject(new Error('no test here starts a daemon'));

export const connectMain = inMemory(runConnect);
export const hostAgentMain = inMemory((argv, io) =>
  runProgram(
    hostAgentProgram(io, () => new AbortController().signal),
    argv,
    io,
  ),
);
export const backendMain = inMemory((argv, io) =>
  runProgram(makeBackendProgram({ io, untilStopped: notStarted }), argv, io),
);
export const vmcMain = inMemory((argv, { stdout, stderr }) =>
  runCli(argv, { stdout, stderr, daemon: notStarted, credentialsFolder: undefined }),
);
