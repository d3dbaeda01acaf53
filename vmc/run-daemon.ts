/** `vmc daemon`: from a configuration file to a controller that runs until it is told to stop. */
import { join } from 'node:path';
import { makeLog } from '../shared/log.ts';
import { loadConfig } from './config.ts';
import { startDaemon } from './daemon.ts';

export interface RunDaemonOptions {
  configPath: string;
  /** systemd's $CREDENTIALS_DIRECTORY. */
  credentialsFolder: string | undefined;
  /** How many listening sockets systemd gave this process. */
  givenSockets: number;
  say: (line: string) => void;
  /** Aborted by SIGTERM. */
  stop: AbortSignal;
}

export const bootstrapPathIn = (credentialsFolder: string | undefined): string | undefined =>
  credentialsFolder === undefined ? undefined : join(credentialsFolder, 'vmc.bootstrap');

/** Resolves after an orderly stop. @throws VmcError when vmc must not serve. */
export async function runDaemon(options: RunDaemonOptions): Promise<void> {
  const loaded = performance.now() / 1000;
  const config = await loadConfig(options.configPath);
  const daemon = await startDaemon(config, {
    log: makeLog('vmc', config.logLevel),
    say: options.say,
    givenSockets: options.givenSockets,
    bootstrapPath: bootstrapPathIn(options.credentialsFolder),
    clock: Date.now,
    uptime: () => performance.now() / 1000, // its origin is the start of the process
    seconds: { node: performance.nodeTiming.bootstrapComplete / 1000, loaded },
    random: Math.random, // only for jitter
  });
  await new Promise<void>((resolve) => {
    if (options.stop.aborted) resolve();
    else options.stop.addEventListener('abort', () => resolve(), { once: true });
  });
  await daemon.close();
}
