/** Accounts: claim, login, whoami, user list, user invite. Sign-in is by signature; there is no password to send. */
import { type Command, Option } from 'commander';
import { BackendClient } from '../../shared/backend-client/client.ts';
import { table } from '../../shared/cli/program.ts';
import { VmcError } from '../../shared/errors.ts';
import { nameSchema } from '../../shared/names.ts';
import { roleSchema, type User } from '../../shared/rest-api/accounts.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { ConnectIo } from '../io.ts';
import { note, reply } from '../io.ts';
import { checked, descriptor } from '../options.ts';
import { ask, openFolder, withIdentity, withSession, withSignIn } from '../session.ts';
import { type BackendOptions, refuseOtherBinding, whichBackend } from './which-backend.ts';

const shownUser = ({ userId, name, role, fingerprint }: User) => ({ userId, name, role, fingerprint });
const userText = (user: ReturnType<typeof shownUser>) => `${user.name}  ${user.role}  ${user.fingerprint}`;

interface ClaimOptions extends BackendOptions {
  name: string;
  code?: string;
  codeFd?: number;
  json?: boolean;
}

export function addAccountCommands(program: Command, io: ConnectIo): void {
  program
    .command('claim')
    .description('Make your account with the one-time code that you were given')
    .requiredOption('--name <name>', 'the name of your account')
    .option('--backend <url>', 'https://HOST:PORT')
    .option('--pin <hex>', "SHA-256 of the backend's public key; `backend pin` prints it there")
    .addOption(new Option('--code <code>', 'the one-time code').conflicts('codeFd'))
    .addOption(new Option('--code-fd <n>', 'read the code from this descriptor').argParser(descriptor))
    .option('--json', 'answer as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  connect claim --backend https://backend.example:8443 --pin 4f6c… --name ada --code 7YQ3-…',
    )
    .action((options: ClaimOptions, command: Command) => claim(io, options, command));

  program
    .command('login')
    .description('Check that you can sign in; with --backend and --pin, remember that backend')
    .option('--backend <url>', 'https://HOST:PORT')
    .option('--pin <hex>', "SHA-256 of the backend's public key")
    .option('--json', 'answer as JSON')
    .addHelpText(
      'after',
      '\nNo session is kept: each command signs in by itself and signs out at its end.\n' +
        '\nExample:\n  connect login\n  connect login --backend https://backend.example:8443 --pin 4f6c…',
    )
    .action(async (options: BackendOptions & { json?: boolean }, command: Command) => {
      const folder = await openFolder(io, command);
      const address = await whichBackend(folder, options);
      const user = await withIdentity(io, command, folder, (identity) =>
        withSignIn(io, folder, identity, address, async (session) => session.user),
      );
      await folder.writeBackend({ url: address.url, pin: address.pin, name: user.name });
      reply(io, options.json, { ...shownUser(user), backend: address.url }, userText);
    });

  program
    .command('whoami')
    .description('The account that you sign in to')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect whoami --json')
    .action(({ json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const user = await ask(session, routes.me, { params: {}, body: {} });
        reply(io, json, { ...shownUser(user), backend: session.address.url }, userText);
      }),
    );

  const users = program.command('user').description('The people of this backend');
  users
    .command('list')
    .description('All accounts')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect user list')
    .action(({ json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const answer = await ask(session, routes.userList, { params: {}, body: {} });
        const rows = answer.users.map(shownUser);
        reply(io, json, { users: rows }, () =>
          table([['NAME', 'ROLE', 'FINGERPRINT'], ...rows.map((user) => [user.name, user.role, user.fingerprint])]),
        );
      }),
    );

  users
    .command('invite')
    .description('Make a one-time code with which a new person claims an account')
    .addOption(new Option('--role <role>', 'role of the new account').choices(roleSchema.options).default('user'))
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect user invite --role user')
    .action(({ role, json }: { role: string; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const body = { role: roleSchema.parse(role) };
        const invited = await ask(session, routes.userInvite, { params: {}, body });
        const { url: backend, pin } = session.address;
        reply(io, json, { ...invited, role, backend, pin }, ({ code }) => code);
        if (json !== true)
          note(
            io,
            `Works once, until ${new Date(invited.expiresAt).toISOString()}:\n  connect claim --backend ${backend} --pin ${pin} --name NAME --code ${invited.code}`,
          );
      }),
    );
}

async function claim(io: ConnectIo, options: ClaimOptions, command: Command): Promise<void> {
  const name = checked(nameSchema, options.name, '--name');
  if (options.code === undefined && options.codeFd === undefined)
    throw new VmcError('bad-request', 'Which code? Pass --code CODE or --code-fd N.');
  const folder = await openFolder(io, command);
  const address = await whichBackend(folder, options);
  await refuseOtherBinding(folder, address);
  const code = options.code ?? new TextDecoder().decode(io.readFd(options.codeFd ?? 0, 'The code'));
  const user = await withIdentity(io, command, folder, async (identity) => {
    const client = new BackendClient(address);
    try {
      return await client.claim(identity, name, code.trim(), { signal: io.signal });
    } finally {
      client.close();
    }
  });
  await folder.writeBackend({ url: address.url, pin: address.pin, name: user.name });
  reply(io, options.json, { ...shownUser(user), backend: address.url }, userText);
}
