/** `backend relay`: a relay of its own, beside the backend or on another machine. */
import type { Command } from 'commander';
import { answer, type Io } from '../../shared/cli/program.ts';
import { loadToml } from '../../shared/config/load-toml.ts';
import { makeLog } from '../../shared/log.ts';
import { initStateFolder } from '../state-folder.ts';
import { relayConfigSchema } from './relay-config.ts';
import { startRelay } from './relay-server.ts';

const DEFAULT_RELAY_CONFIG = '/etc/vmc/relay.toml';

interface RelayCliDeps {
  io: Io;
  /** Resolves when the process is asked to stop. */
  untilStopped(): Promise<void>;
}

interface Options {
  config: string;
  json?: boolean;
}

export function addRelayCommands(program: Command, { io, untilStopped }: RelayCliDeps): void {
  const relay = program
    .command('relay')
    .description('A relay that runs by itself, for more VMs and users than one can hold');
  const withConfig = (name: string, summary: string, isDefault = false) =>
    relay
      .command(name, { isDefault })
      .description(summary)
      .option('--config <file>', 'configuration', DEFAULT_RELAY_CONFIG);

  withConfig('daemon', 'Run the relay until SIGTERM or SIGINT; `backend relay` alone does the same', true).action(
    async ({ config: path }: Options) => {
      const config = await loadToml(path, relayConfigSchema);
      const log = makeLog('relay', config.logLevel);
      const running = await startRelay(config, { log });
      await untilStopped();
      log.info('stopping');
      await running.close();
    },
  );

  withConfig(
    'pin',
    "Print the SHA-256 of the relay's public key, for relay.others in backend.toml; makes the key if need be",
  )
    .option('--json', 'answer as JSON')
    .action(async ({ config, json }: Options) => {
      const { stateDir } = await loadToml(config, relayConfigSchema);
      const { pin } = (await initStateFolder(stateDir, new Date())).keys;
      answer(io, json, { pin }, (it) => it.pin);
    });
}
