/** The command `vmc`. `vmc daemon` goes the short way: what the other commands need is not loaded for it. */
import * as z from 'zod';
import { ERROR_EXIT, publicError, VmcError } from '../shared/errors.ts';
import { armFaultPoints } from '../shared/fault-point.ts';
import { printable } from '../shared/run.ts';
import { DEFAULT_CONFIG_PATH } from './config.ts';
import { countGiven, LISTEN_VARIABLES } from './port22/given-socket.ts';
import { runDaemon } from './run-daemon.ts';

const { env, argv, stdout, stderr } = process;
const listen = Object.fromEntries(LISTEN_VARIABLES.map((name) => [name, env[name]]));
for (const name of LISTEN_VARIABLES) delete env[name]; // meant for this process, not for its children

armFaultPoints(env.VMC_FAULT_FILE);

// Checks compiled to JavaScript at run time are faster in the end and slower to start with; vmc parses little.
z.config({ jitless: true });

async function daemon(configPath: string): Promise<number> {
  const stop = new AbortController();
  // Not once: without a listener of ours execa would end the process at the first signal while a command runs.
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => stop.abort());
  try {
    await runDaemon({
      configPath,
      credentialsFolder: env.CREDENTIALS_DIRECTORY,
      givenSockets: countGiven(listen, process.pid),
      say: (line) => stdout.write(`vmc: ${line}\n`),
      stop: stop.signal,
    });
    return 0;
  } catch (error) {
    const { code, message, hint } = publicError(error);
    stderr.write(`vmc: ${printable(message)}\n${hint === undefined ? '' : `  hint: ${printable(hint)}\n`}`);
    if (!(error instanceof VmcError) && error instanceof Error) stderr.write(`${error.stack}\n`);
    return ERROR_EXIT[code];
  }
}

function untilInterrupted(): AbortSignal {
  const stop = new AbortController();
  process.on('SIGINT', () => stop.abort(new VmcError('cancelled', 'It was cancelled.'))); // not once, as above
  return stop.signal;
}

const words = argv.slice(2);
if (words[0] === 'daemon' && words.length === 1) process.exitCode = await daemon(DEFAULT_CONFIG_PATH);
else {
  const { runCli } = await import('./cli.ts');
  process.exitCode = await runCli(words, {
    stdout,
    stderr,
    daemon,
    credentialsFolder: env.CREDENTIALS_DIRECTORY,
    untilInterrupted,
  });
}
