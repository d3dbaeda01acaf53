#!/usr/bin/env node
/** The only file of connect that sees argv, the environment, signals and the exit code. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { readSecretFd } from '../shared/cli/secret.ts';
import { runConnect } from './cli.ts';
import { CANCELLED } from './io.ts';
import { runHere } from './run-here.ts';

const abort = new AbortController();
/** A program that has the terminal gets Ctrl-C itself, and knows what to do with it. */
let lent = 0;
const stop = (signal?: NodeJS.Signals) => {
  if (signal === 'SIGINT' && lent > 0) return;
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
const runtime = process.env.XDG_RUNTIME_DIR;
process.exitCode = await runConnect(process.argv.slice(2), {
  stdin: () => process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: abort.signal,
  readFd: readSecretFd,
  // It stands in ssh_config options, where other characters have a meaning.
  runtimeFolder: runtime !== undefined && /^\/[\w./-]+$/.test(runtime) ? runtime : '/tmp',
  runHere: async (file, args, signal) => {
    lent++;
    try {
      return await runHere(file, args, signal);
    } finally {
      lent--;
    }
  },
  defaultFolder: join(configHome?.startsWith('/') ? configHome : join(homedir(), '.config'), 'vmc'),
});
