/** `connect vm people`: who may come into a VM. The VM decides; the backend only opens the way to its door. */
import { type Command, Option } from 'commander';
import { controlMethods } from '../../shared/api/index.ts';
import { type GivenRole, givenRoleSchema, type PersonView, rightsSchema } from '../../shared/api/people.ts';
import type { Right } from '../../shared/api/rights.ts';
import { table } from '../../shared/cli/program.ts';
import { VmcError } from '../../shared/errors.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Vm } from '../../shared/rest-api/machines.ts';
import { withControl } from '../channel.ts';
import type { Control } from '../control.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { checked } from '../options.ts';
import { ask, type Session, withSession } from '../session.ts';
import { findVm } from './find.ts';
import { notePeopleVersion } from './people-version.ts';
import { findAccount, findInVm, type TrustOptions } from './person.ts';

interface StandingOptions {
  role?: GivenRole;
  profile?: string;
  rights?: Right[];
}

const roleOption = () => new Option('--role <role>', 'role in the VM').choices(givenRoleSchema.options);
export const rightList = (text: string): Right[] =>
  checked(rightsSchema, text === '' ? [] : text.split(','), 'the rights');

export function addPeopleCommands(vms: Command, io: ConnectIo): void {
  const people = vms.command('people').description('Who may come into a VM, and what they may do there');

  people
    .command('list')
    .description('Everybody who may come in, and their rights')
    .argument('<vm>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm people list lab')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      inVm(io, command, wanted, async (session, vm, rpc) => {
        const listed = await rpc.call(controlMethods.peopleList, {}, { signal: io.signal });
        await notePeopleVersion(session, vm, listed.version);
        reply(io, json, { vmId: vm.vmId, ...listed }, () => peopleTable(listed.people));
      }),
    );

  people
    .command('me')
    .description('Who you are in a VM, and what you may do there')
    .argument('<vm>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm people me lab')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      inVm(io, command, wanted, async (session, vm, rpc) => {
        const me = await rpc.call(controlMethods.peopleMe, {}, { signal: io.signal });
        await notePeopleVersion(session, vm, me.version);
        reply(io, json, { vmId: vm.vmId, ...me }, () => `${me.role}  ${me.profile ?? ''}  ${me.rights.join(',')}`);
      }),
    );

  people
    .command('add')
    .description('Let somebody come in. Repeating it does no harm')
    .argument('<vm>', 'name or id')
    .argument('<person>', 'name of their account (connect user list)')
    .addOption(roleOption().default('user'))
    .option('--profile <profile>', 'for a user: the profile whose rights they have')
    .option('--rights <list>', 'for a user: rights of their own, as files,upload', rightList)
    .option('--fingerprint <fingerprint>', 'what "connect fingerprint" prints for them, SHA256:…')
    .option('--yes', "take the backend's word for their key when this device does not know it yet")
    .option('--json', 'answer as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  connect vm people add lab bob --profile students --fingerprint SHA256:Jl3…\n  connect vm people add lab eve --role manager --yes',
    )
    .action(
      (wanted: string, who: string, options: StandingOptions & TrustOptions & { json?: boolean }, command: Command) =>
        inVm(io, command, wanted, async (session, vm, rpc) => {
          const user = await findAccount(session, who, options);
          const { role = 'user' } = options;
          const person = { ed25519: user.identity.ed25519.toBase64(), name: user.name, role, ...given(options) };
          const { version } = await rpc.call(controlMethods.peopleAdd, person, { signal: io.signal });
          await notePeopleVersion(session, vm, version);
          await openDoor(session, vm, user, role);
          const print = fingerprint(user.identity.ed25519);
          reply(
            io,
            options.json,
            { vmId: vm.vmId, version, name: user.name, fingerprint: print, role },
            () => `${user.name}  ${print}  ${role} of ${vm.name}`,
          );
        }),
    );

  people
    .command('change')
    .description('Change role, profile or rights. What they lose ends at once')
    .argument('<vm>', 'name or id')
    .argument('<person>', 'name or fingerprint, as the VM lists them')
    .addOption(roleOption())
    .option('--profile <profile>', 'for a user: the profile whose rights they have')
    .option('--rights <list>', 'for a user: rights of their own; "" for none', rightList)
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm people change lab bob --rights files,download')
    .action((wanted: string, who: string, options: StandingOptions & { json?: boolean }, command: Command) =>
      inVm(io, command, wanted, async (session, vm, rpc) => {
        const { role } = options;
        if (role === undefined && options.profile === undefined && options.rights === undefined)
          throw new VmcError('bad-request', 'Say what to change.', 'One of --role, --profile and --rights.');
        const { people: all } = await rpc.call(controlMethods.peopleList, {}, { signal: io.signal });
        const { name, fingerprint: person } = findInVm(all, who);
        const change = { person, ...given(options), ...(role === undefined ? {} : { role }) };
        const { version } = await rpc.call(controlMethods.peopleChange, change, { signal: io.signal });
        await notePeopleVersion(session, vm, version);
        const user = role === undefined ? undefined : await accountOf(session, person);
        if (user !== undefined && role !== undefined) await changeDoor(session, vm, user, role);
        reply(io, options.json, { vmId: vm.vmId, version, name, fingerprint: person }, () => `${name}  changed`);
      }),
    );

  people
    .command('remove')
    .description('Shut somebody out. Their connections end at once; repeating it does no harm')
    .argument('<vm>', 'name or id')
    .argument('<person>', 'name or fingerprint, as the VM lists them')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm people remove lab bob')
    .action((wanted: string, who: string, { json }: { json?: boolean }, command: Command) =>
      inVm(io, command, wanted, (session, vm, rpc) => remove(session, vm, rpc, who, json)),
    );

  people
    .command('leave')
    .description('Remove yourself from a VM')
    .argument('<vm>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm people leave lab')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      inVm(io, command, wanted, async (session, vm, rpc) => {
        await rpc.call(controlMethods.peopleLeave, {}, { signal: io.signal });
        await closeDoor(session, vm, session.user.userId);
        reply(io, json, { vmId: vm.vmId, left: true }, () => `You have left ${vm.name}.`);
      }),
    );

  people
    .command('reset')
    .description('Begin with nobody but you, when the VM says that its people cannot be trusted')
    .argument('<vm>', 'name or id')
    .requiredOption('--confirm <id>', 'the id of the VM')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm people reset lab --confirm vm-0123456789ab')
    .action((wanted: string, { confirm, json }: { confirm: string; json?: boolean }, command: Command) =>
      inVm(io, command, wanted, async (session, vm, rpc) => {
        const { version } = await rpc.call(controlMethods.peopleReset, { confirm }, { signal: io.signal });
        await notePeopleVersion(session, vm, version);
        reply(io, json, { vmId: vm.vmId, version }, () => `${vm.name}: nobody but its owner may come in now.`);
      }),
    );
}

/** A control connection with the VM that is meant. */
export function inVm(
  io: ConnectIo,
  command: Command,
  wanted: string,
  use: (session: Session, vm: Vm, rpc: Control) => Promise<void>,
): Promise<void> {
  return withSession(io, command, async (session) => {
    const vm = await findVm(session, wanted);
    await withControl(session, vm, (rpc) => use(session, vm, rpc));
  });
}

const given = ({ profile, rights }: StandingOptions) => ({
  ...(profile === undefined ? {} : { profile }),
  ...(rights === undefined ? {} : { rights }),
});

async function remove(session: Session, vm: Vm, rpc: Control, who: string, json: boolean | undefined): Promise<void> {
  const { io } = session;
  const { people } = await rpc.call(controlMethods.peopleList, {}, { signal: io.signal });
  const there = people.find(({ name, fingerprint: print }) => name === who || print === who);
  // The VM first: there they are out. If the second step failed the last time, only the backend knows them still.
  if (there !== undefined) {
    const change = { person: there.fingerprint };
    const { version } = await rpc.call(controlMethods.peopleRemove, change, { signal: io.signal });
    await notePeopleVersion(session, vm, version);
  }
  const user = await accountOf(session, there?.fingerprint ?? who);
  if (there === undefined && user === undefined) findInVm(people, who); // says who there is
  if (user !== undefined) await closeDoor(session, vm, user.userId);
  const removed = { name: there?.name ?? who, fingerprint: there?.fingerprint };
  reply(io, json, { vmId: vm.vmId, ...removed, removed: true }, () => `${removed.name}  removed from ${vm.name}`);
}

/** By fingerprint, or for who is not in the VM any more also by name. */
async function accountOf(session: Session, who: string) {
  const { users } = await ask(session, routes.userList, { params: {}, body: {} });
  return users.find((user) => fingerprint(user.identity.ed25519) === who || user.name === who);
}

/** The second step of letting somebody in; the first, in the VM, holds whatever comes of this one. */
async function openDoor(session: Session, vm: Vm, user: { userId: string; name: string }, role: GivenRole) {
  const body = { mayInvite: role !== 'user' };
  try {
    await ask(session, routes.vmPersonPut, { params: { vmId: vm.vmId, userId: user.userId }, body });
  } catch (error) {
    if (!(error instanceof VmcError)) throw error;
    throw new VmcError(
      error.code,
      `The VM ${vm.name} lets ${user.name} in now, but the backend does not lead them there yet: ${error.message}`,
      error.code === 'forbidden' ? 'Ask the owner of the VM to repeat the command.' : 'Repeat the command.',
    );
  }
}

/** Not fatal: they have a way to the VM, and it is the VM that knows their new role. */
async function changeDoor(session: Session, vm: Vm, user: { userId: string; name: string }, role: GivenRole) {
  await openDoor(session, vm, user, role).catch((error: unknown) => {
    if (!(error instanceof VmcError && error.code === 'forbidden')) throw error;
    note(
      session.io,
      `${user.name} is ${role} of ${vm.name} now. Only its owner can tell the backend whether they may lead others there.`,
    );
  });
}

/** Not fatal: the VM has shut them out already. */
async function closeDoor(session: Session, vm: Vm, userId: string): Promise<void> {
  try {
    await ask(session, routes.vmPersonRemove, { params: { vmId: vm.vmId, userId }, body: {} });
  } catch (error) {
    if (!(error instanceof VmcError)) throw error;
    if (error.code !== 'not-found')
      note(
        session.io,
        `The VM ${vm.name} is shut to them; the backend still leads them to its door: ${error.message}\n  Repeat the command, or ask the owner of the VM to.`,
      );
  }
}

function peopleTable(people: readonly PersonView[]): string {
  const rows = people.map(({ name, role, profile, rights, fingerprint: print }) => [
    ...[name, role, profile ?? (role === 'user' ? 'custom' : '-')],
    ...[role === 'user' ? rights.join(',') || '-' : 'all', print],
  ]);
  return table([['NAME', 'ROLE', 'PROFILE', 'RIGHTS', 'FINGERPRINT'], ...rows]);
}
