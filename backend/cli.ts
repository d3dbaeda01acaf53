/** The commands of `backend`. All but `daemon` read or change the same files as a daemon that runs. */
import type { Command } from 'commander';
import manifest from '../package.json' with { type: 'json' };
import { answer, type Io, makeProgram, table } from '../shared/cli/program.ts';
import { loadToml } from '../shared/config/load-toml.ts';
import { VmcError } from '../shared/errors.ts';
import { makeLog } from '../shared/log.ts';
import { toBase64 } from '../shared/names.ts';
import { makeFirstCode } from './accounts/first-code.ts';
import { describeUser } from './accounts/handlers.ts';
import { startBackend } from './backend.ts';
import { type Config, configSchema } from './config.ts';
import { addRelayCommands } from './relay/relay-cli.ts';
import { initStateFolder, readServerKeys } from './state-folder.ts';
import { openStore, type Store } from './store/store.ts';
import { initTicketKey, readTicketKey } from './tickets/ticket-key.ts';

const DEFAULT_CONFIG = '/etc/vmc/backend.toml';
const MAX_AUDIT_ENTRIES = 100_000;

export interface CliDeps {
  io: Io;
  /** Resolves when the process is asked to stop. */
  untilStopped(): Promise<void>;
}

interface Options {
  config: string;
  json?: boolean;
}

export function makeBackendProgram({ io, untilStopped }: CliDeps): Command {
  const program = makeProgram('backend', 'Backend of research VMs: rest, relay and endpoints', manifest.version);
  const add = (parent: Command, name: string, summary: string) =>
    parent.command(name).description(summary).option('--config <file>', 'configuration', DEFAULT_CONFIG);
  const answering = (parent: Command, name: string, summary: string) =>
    add(parent, name, summary).option('--json', 'answer as JSON');
  const load = (options: Options): Promise<Config> => loadToml(options.config, configSchema);

  add(program, 'daemon', 'Run the backend until SIGTERM or SIGINT').action(async (options: Options) => {
    const config = await load(options);
    const log = makeLog('backend', config.logLevel);
    const backend = await startBackend(config, { log, announce: (line) => io.stdout.write(`${line}\n`) });
    await untilStopped();
    log.info('stopping');
    await backend.close();
  });

  answering(program, 'init', 'Make the state folder, the key and the certificate, if they are not there').action(
    async (options: Options) => {
      const { stateDir } = await load(options);
      const { keys, made } = await initStateFolder(stateDir, new Date());
      await initTicketKey(stateDir);
      answer(io, options.json, { stateDir, pin: keys.pin, made }, (it) =>
        it.made ? `Made the backend's key in ${it.stateDir}. Its pin: ${it.pin}` : `Nothing to do. Pin: ${it.pin}`,
      );
    },
  );

  answering(program, 'pin', "Print the SHA-256 of the backend's public key, which everyone pins").action(
    async (options: Options) => {
      const { pin } = await readServerKeys((await load(options)).stateDir);
      answer(io, options.json, { pin }, (it) => it.pin);
    },
  );

  answering(
    program,
    'ticket-key',
    'Print the public key that relays of their own need: ticketKey in relay.toml',
  ).action(async (options: Options) => {
    const ticketKey = toBase64((await readTicketKey((await load(options)).stateDir)).public);
    answer(io, options.json, { ticketKey }, (it) => it.ticketKey);
  });

  addRelayCommands(program, { io, untilStopped });

  /** Opens the store of a backend that has been initialised. */
  const withStore = async <T>(options: Options, work: (store: Store) => T): Promise<T> => {
    const { stateDir } = await load(options);
    await readServerKeys(stateDir);
    const store = openStore(stateDir);
    try {
      return work(store);
    } finally {
      store.close();
    }
  };

  const account = program.command('account').description('The first account');
  answering(account, 'code', 'Print a new one-time code for the first account; earlier ones no longer work').action(
    async (options: Options) => {
      const code = await withStore(options, (store) => makeFirstCode(store, Date.now()));
      answer(io, options.json, { code }, (it) => `connect claim --code ${it.code}`);
    },
  );

  const user = program.command('user').description('People');
  answering(user, 'list', 'All accounts').action(async (options: Options) => {
    const users = await withStore(options, (store) => store.accounts.list().map(describeUser));
    answer(io, options.json, { users }, () =>
      table([
        ['NAME', 'ROLE', 'ID', 'FINGERPRINT'],
        ...users.map((it) => [it.name, it.role, it.userId, it.fingerprint]),
      ]),
    );
  });

  const host = program.command('host').description('VM hosts');
  answering(host, 'list', 'All hosts as they were registered').action(async (options: Options) => {
    const hosts = await withStore(options, (store) =>
      store.hosts.list().map((it) => ({
        hostId: it.hostId,
        name: it.name,
        enrolled: it.ed25519 !== null,
        address: it.address,
        lastSeenAt: it.lastSeenAt,
      })),
    );
    answer(io, options.json, { hosts }, () =>
      table([
        ['NAME', 'ID', 'ENROLLED', 'ADDRESS', 'LAST SEEN'],
        ...hosts.map((it) => [it.name, it.hostId, it.enrolled ? 'yes' : 'no', it.address ?? '-', time(it.lastSeenAt)]),
      ]),
    );
  });

  answering(program, 'audit', 'Who did what to what, when, and how it ended; the newest last')
    .option('--last <n>', 'how many entries', '100')
    .action(async (options: Options & { last: string }) => {
      const limit = parseCount(options.last);
      const entries = await withStore(options, (store) => store.audit.latest(limit));
      answer(io, options.json, { entries }, () =>
        table(entries.map((it) => [String(it.id), time(it.at), it.actor, it.action, it.target ?? '-', it.result])),
      );
    });
  return program;
}

const time = (at: number | null): string => (at === null ? '-' : new Date(at).toISOString());

function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= MAX_AUDIT_ENTRIES) return count;
  throw new VmcError('bad-request', `--last takes a number from 1 to ${MAX_AUDIT_ENTRIES}.`);
}
