/** `vmc firewall …`. */
import type { Command } from 'commander';
import { answer } from '../shared/cli/program.ts';
import { VmcError } from '../shared/errors.ts';
import type { CliDeps, CommonOptions } from './cli.ts';
import { withCommon } from './cli.ts';
import { loadConfig } from './config.ts';
import { allowedTargets } from './firewall/allowed-targets.ts';
import { Firewall, loadedRules } from './firewall/firewall.ts';
import { readStoredBootstrap } from './known-vm.ts';
import { otherRelays } from './relay-client/relay-access.ts';
import { readRelayAccess } from './state/relay-access.ts';

export function addFirewallCommands(program: Command, deps: CliDeps): void {
  const firewall = program.command('firewall').description('what may come into and go out of this VM');
  withCommon(firewall.command('show').description('the rules as they should be, for nft'))
    .option('--loaded', 'the rules as the kernel has them')
    .action(async ({ config, json, loaded }: CommonOptions & { loaded?: true }) => {
      const rules = loaded === true ? await loadedRules() : await (await planned(config)).plan();
      if (rules === undefined)
        throw new VmcError('wrong-state', 'No rules are loaded.', 'systemctl restart vmc-firewall vmc');
      answer(deps, json, { rules }, () => rules);
    });
  withCommon(firewall.command('apply').description('load the rules, as one transaction')).action(
    async ({ config, json }: CommonOptions) => {
      const rules = await planned(config);
      await rules.admitAll();
      answer(deps, json, { applied: true }, () => 'The rules are loaded.');
    },
  );
}

async function planned(configPath: string): Promise<Firewall> {
  const config = await loadConfig(configPath);
  const { stateDir, tunnel } = config;
  const { backend, vm } = await readStoredBootstrap(stateDir);
  const access = await readRelayAccess(stateDir, vm.id, backend.pin);
  const relayUrls = otherRelays(access, backend.pin);
  return new Firewall({ backendUrl: backend.url, relayUrls, tunnelPort: tunnel.port, allow: allowedTargets(config) });
}
