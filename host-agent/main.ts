/** The only file here that reads the command line and sets the exit code. */
import { runProgram } from '../shared/cli/program.ts';
import { armFaultPoints } from '../shared/fault-point.ts';
import { hostAgentProgram } from './cli/program.ts';

const io = { stdout: process.stdout, stderr: process.stderr };

/** The daemon and long work ask for it; every other command ends at once when told to, and a repeat goes on where it stopped. */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  // Not once: without a listener of ours execa would end the process at the first signal, and a command always runs.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort());
  return stop.signal;
}

armFaultPoints(process.env.VMC_FAULT_FILE);
process.exitCode = await runProgram(hostAgentProgram(io, stopSignal), process.argv.slice(2), io);
