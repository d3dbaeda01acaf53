/** The `backend` command. Only this file touches argv and the exit code. */
import { runProgram } from '../shared/cli/program.ts';
import { makeBackendProgram } from './cli.ts';

const io = { stdout: process.stdout, stderr: process.stderr };

const untilStopped = () =>
  new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });

process.exitCode = await runProgram(makeBackendProgram({ io, untilStopped }), process.argv.slice(2), io);
