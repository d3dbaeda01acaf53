/** `host-agent …`: the daemon, and every operation by hand, with the backend up or down. What one command needs is loaded for it alone. */
import type { Command } from 'commander';
import { answer, type Io, makeProgram, table } from '../../shared/cli/program.ts';
import { readSecretFd } from '../../shared/cli/secret.ts';
import { VmcError } from '../../shared/errors.ts';
import { DEFAULT_CONFIG_PATH, loadConfig } from '../config.ts';
import { type Host, makeHost } from '../host.ts';
import { AGENT_VERSION } from '../version.ts';
import { addDriveCommands } from './drive.ts';
import { addFirewallCommands } from './firewall.ts';
import { addIsoCommands } from './iso.ts';
import { parseFd } from './parse.ts';
import { addPoolCommands } from './pool.ts';
import { addSnapshotCommands } from './snapshot.ts';
import { addVmCommands } from './vm.ts';

export interface CliContext {
  io: Io;
  host(): Promise<Host>;
  /** Aborted by Ctrl-C, for long work that has something to undo. Asked for at most once. */
  stopSignal(): AbortSignal;
}

export interface JsonOption {
  json?: boolean;
}

export function hostAgentProgram(io: Io, stopSignal: () => AbortSignal): Command {
  const program = makeProgram('host-agent', 'Runs the VMs and drives of a libvirt server.', AGENT_VERSION);
  program.option('--config <file>', 'configuration', DEFAULT_CONFIG_PATH);
  const config = () => loadConfig(program.opts<{ config: string }>().config);
  const context: CliContext = { io, host: async () => makeHost(await config()), stopSignal };

  program
    .command('daemon')
    .description('run as a service')
    .action(async () => {
      const [loaded, { makeLog }, { runDaemon }] = await Promise.all([
        config(),
        import('../../shared/log.ts'),
        import('../daemon.ts'),
      ]);
      await runDaemon(loaded, makeLog('host-agent', loaded.logLevel), stopSignal());
    });

  program
    .command('enrol')
    .description('make this host known to its backend, once')
    .requiredOption('--host-id <id>', 'as `connect host add` printed it')
    .requiredOption('--token-fd <n>', 'descriptor to read the one-time token from', parseFd)
    .action(async (options: { hostId: string; tokenFd: number }) => {
      const loaded = await config();
      const { enrol, hostIdentity } = await import('../link/enrolment.ts');
      await enrol(loaded, options.hostId, readSecretFd(options.tokenFd, 'The enrolment token'));
      const { fingerprint } = await import('../../shared/identity/fingerprint.ts');
      io.stderr.write(`Enrolled as ${options.hostId}, ${fingerprint((await hostIdentity(loaded)).public.ed25519)}.\n`);
    });

  addVmCommands(program, context);
  addDriveCommands(program, context);
  addPoolCommands(program, context);
  addIsoCommands(program, context);
  addSnapshotCommands(program, context);
  addFirewallCommands(program, context);

  program
    .command('report')
    .description('what the backend is told about this host')
    .option('--json', 'as JSON')
    .action(async (options: JsonOption) => {
      const { hostReport } = await import('../link/report.ts');
      const report = await hostReport(await context.host());
      answer(io, options.json, report, () => JSON.stringify(report, undefined, 2));
    });

  program
    .command('reconcile')
    .description('compare what is with what should be, and repair what is safe to repair')
    .option('--dry-run', 'change nothing')
    .option('--json', 'as JSON')
    .action(async (options: JsonOption & { dryRun?: boolean }) => {
      const { reconcile } = await import('../reconcile.ts');
      const findings = await reconcile(await context.host(), options.dryRun === true);
      answer(io, options.json, findings, () =>
        findings.length === 0
          ? 'all as it should be'
          : findings
              .map((it) => `${it.outcome}: ${it.what}${it.hint === undefined ? '' : `\n  hint: ${it.hint}`}`)
              .join('\n'),
      );
    });

  program
    .command('doctor')
    .description('what is wrong here and what to do about it')
    .option('--json', 'as JSON')
    .action(async (options: JsonOption) => {
      const { examine } = await import('../doctor.ts');
      const checks = await examine(await context.host());
      answer(io, options.json, checks, () =>
        table(
          checks.map((it) => [
            it.ok ? 'ok' : 'FAIL',
            it.name,
            it.hint === undefined ? it.found : `${it.found} → ${it.hint}`,
          ]),
        ),
      );
      const failed = checks.filter((it) => !it.ok).length;
      if (failed > 0) throw new VmcError('wrong-state', `${failed} of ${checks.length} checks failed.`);
    });

  return program;
}
