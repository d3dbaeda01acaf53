/** `host-agent firewall …` */
import type { Command } from 'commander';
import { answer } from '../../shared/cli/program.ts';
import { VmcError } from '../../shared/errors.ts';
import { ipsetText, restoreText } from '../firewall/plan.ts';
import { checkFirewall, enforceFirewall, wantedFirewall } from '../firewall/wanted.ts';
import type { CliContext, JsonOption } from './program.ts';

export function addFirewallCommands(program: Command, { io, host }: CliContext): void {
  const firewall = program.command('firewall').description("the walls around this host's VMs");

  firewall
    .command('show')
    .description('the rules as they should be, for iptables-restore, ip6tables-restore and ipset restore')
    .option('--json', 'as JSON')
    .action(async (options: JsonOption) => {
      const plan = await wantedFirewall(await host());
      answer(io, options.json, plan, () =>
        [
          '# ipset restore',
          ipsetText(plan.sets),
          '# iptables-restore --noflush',
          restoreText(plan.ipv4, new Map()),
          '# ip6tables-restore --noflush',
          restoreText(plan.ipv6, new Map()),
        ].join('\n'),
      );
    });

  firewall
    .command('apply')
    .description('make the rules as they should be; rules of others are not touched')
    .option('--json', 'as JSON')
    .action(async (options: JsonOption) => {
      const corrected = await enforceFirewall(await host());
      answer(io, options.json, { corrected }, () =>
        corrected.length === 0 ? 'as it should be' : corrected.map((it) => `corrected: ${it}`).join('\n'),
      );
    });

  firewall
    .command('check')
    .description('compare; the exit code is 69 when something differs')
    .option('--json', 'as JSON')
    .action(async (options: JsonOption) => {
      const drift = await checkFirewall(await host());
      answer(io, options.json, { drift }, () => (drift.length === 0 ? 'as it should be' : drift.join('\n')));
      if (drift.length > 0)
        throw new VmcError(
          'wrong-state',
          `The firewall differs in ${drift.length} places.`,
          'host-agent firewall apply',
        );
    });
}
