/** The command line of vmc: for root, on the spot, also while the backend is down. */
import type { Command } from 'commander';
import { answer, type Io, makeProgram, runProgram } from '../shared/cli/program.ts';
import { VmcError } from '../shared/errors.ts';
import { addAuditCommands } from './cli-audit.ts';
import { addDriveCommands } from './cli-drive.ts';
import { addFirewallCommands } from './cli-firewall.ts';
import { addMediaCommands } from './cli-media.ts';
import { addPeopleCommands } from './cli-people.ts';
import { DEFAULT_CONFIG_PATH, loadConfig } from './config.ts';
import { readKnownVm } from './known-vm.ts';
import { describeOwner, findPortOwner, type PortOwner, VMC_SOCKET } from './port22/port-owner.ts';
import { bootstrapPathIn } from './run-daemon.ts';
import { VERSION } from './version.ts';

export interface CliDeps extends Io {
  /** Runs the daemon to its end. @returns the exit code. */
  daemon: (configPath: string) => Promise<number>;
  credentialsFolder: string | undefined;
  /** From now on Ctrl-C aborts this, once, and does not end the process. */
  untilInterrupted?: () => AbortSignal;
}

export interface CommonOptions {
  config: string;
  json?: true;
}

/** Every command that answers has these two. */
export function withCommon(command: Command): Command {
  return command
    .option('--config <file>', 'the configuration', DEFAULT_CONFIG_PATH)
    .option('--json', 'answer with one JSON object');
}

/** @returns the exit code. */
export async function runCli(argv: readonly string[], deps: CliDeps): Promise<number> {
  const program = makeProgram('vmc', 'The controller of this VM: access, drives, firewall.', VERSION);
  let exitCode = 0;
  program
    .command('daemon')
    .description('run the controller; systemd does this')
    .option('--config <file>', 'the configuration', DEFAULT_CONFIG_PATH)
    .action(async ({ config }: CommonOptions) => {
      exitCode = await deps.daemon(config);
    });
  addStatusCommands(program, deps);
  addBootstrapCommand(program, deps);
  addDriveCommands(program, deps);
  addMediaCommands(program, deps);
  addFirewallCommands(program, deps);
  addAuditCommands(program, deps);
  addPeopleCommands(program, deps);
  return (await runProgram(program, argv, deps)) || exitCode;
}

function addStatusCommands(program: Command, deps: CliDeps): void {
  withCommon(program.command('fingerprint').description('print the fingerprint of this VM')).action(
    async ({ config, json }: CommonOptions) => {
      const { vmId, name, fingerprint } = await readKnownVm((await loadConfig(config)).stateDir);
      answer(deps, json, { vmId, name, fingerprint }, () => fingerprint);
    },
  );
  withCommon(program.command('status').description('who this VM is, whose it is, and whether vmc runs')).action(
    async ({ config, json }: CommonOptions) => {
      const { stateDir, tunnel } = await loadConfig(config);
      const vm = await readKnownVm(stateDir);
      const portOwner = await findPortOwner(tunnel.port);
      answer(deps, json, { ...vm, port: tunnel.port, ...(portOwner === undefined ? {} : { portOwner }) }, () =>
        [
          `VM          ${vm.name} (${vm.vmId})`,
          `fingerprint ${vm.fingerprint}`,
          `owner       ${vm.ownerFingerprint}`,
          `backend     ${vm.backendUrl}${vm.enrolled ? '' : ' (not enrolled yet)'}`,
          `port ${String(tunnel.port).padEnd(6)} ${whoListens(portOwner)}`,
        ].join('\n'),
      );
    },
  );
  withCommon(program.command('doctor').description('check everything; say what is wrong and what to do')).action(
    async ({ config, json }: CommonOptions) => {
      const { examine, describeFindings } = await import('./doctor/doctor.ts');
      const findings = await examine(config, bootstrapPathIn(deps.credentialsFolder));
      const bad = findings.filter(({ state }) => state === 'bad').length;
      answer(deps, json, { ok: bad === 0, findings }, () => describeFindings(findings));
      if (bad > 0) throw new VmcError('wrong-state', `${bad} of ${findings.length} checks failed.`);
    },
  );
}

function whoListens(owner: PortOwner | undefined): string {
  if (owner === undefined) return 'nobody listens: vmc does not run';
  return `${describeOwner(owner)}${owner.unit === VMC_SOCKET ? ': vmc does not run' : ''}`;
}

function addBootstrapCommand(program: Command, deps: CliDeps): void {
  program
    .command('bootstrap')
    .description('the document that this VM is told by its host')
    .command('check <file>')
    .description('check a bootstrap document; - reads it from stdin')
    .option('--json', 'answer with one JSON object')
    .action(async (file: string, { json }: { json?: true }) => {
      const { checkBootstrap } = await import('./check-bootstrap.ts');
      const found = await checkBootstrap(file);
      answer(
        deps,
        json,
        found,
        () => `${found.source} is fine: VM ${found.name} (${found.vmId}), owner ${found.ownerFingerprint}`,
      );
    });
}
