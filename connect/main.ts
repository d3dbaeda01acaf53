#!/usr/bin/env node
/** The only file of connect that sees argv, the environment, signals and the exit code. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { readSecretFd } from '../shared/cli/secret.ts';
import { runConnect } from './cli.ts';
import { CANCELLED } from './io.ts';

const abort = new AbortController();
const stop = () => {
  if (abort.signal.aborted) process.exit(130); // asked twice: at once
  abort.abort(CANCELLED());
};
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);

// `connect vm list | head -1` is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  abort.abort(CANCELLED());
});

const configHome = process.env.XDG_CONFIG_HOME;
process.exitCode = await runConnect(process.argv.slice(2), {
  stdin: () => process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: abort.signal,
  readFd: readSecretFd,
  defaultFolder: join(configHome?.startsWith('/') ? configHome : join(homedir(), '.config'), 'vmc'),
});
