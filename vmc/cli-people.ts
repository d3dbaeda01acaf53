/** `vmc people`: who may come in, read from the state folder. Only a channel changes it: there the rules are asked. */
import type { Command } from 'commander';
import { answer, table } from '../shared/cli/program.ts';
import { fingerprint } from '../shared/identity/fingerprint.ts';
import { type CliDeps, type CommonOptions, withCommon } from './cli.ts';
import { loadConfig } from './config.ts';
import { readKnownSelf } from './known-vm.ts';
import { describePeople, describeProfiles } from './people/describe-people.ts';
import { readPeople } from './people/people-file.ts';

export function addPeopleCommands(program: Command, deps: CliDeps): void {
  const people = program.command('people').description('who may come into this VM; connect vm people changes it');

  withCommon(people.command('list').description('everybody who may come in, and their rights')).action(
    async ({ config, json }: CommonOptions) => {
      const { state, ownerKey } = await read(config);
      answer(deps, json, describePeople(state, ownerKey), (shown) =>
        table([
          ['NAME', 'ROLE', 'PROFILE', 'RIGHTS', 'FINGERPRINT'],
          ...shown.people.map(({ name, role, profile, rights, fingerprint: print }) => [
            ...[name, role, profile ?? '-', role === 'user' ? rights.join(',') || '-' : 'all', print],
          ]),
        ]),
      );
    },
  );

  withCommon(people.command('profiles').description('named sets of rights, and who has them')).action(
    async ({ config, json }: CommonOptions) => {
      const { state } = await read(config);
      answer(deps, json, describeProfiles(state), ({ profiles }) =>
        table([
          ['NAME', 'RIGHTS', 'PEOPLE'],
          ...profiles.map(({ name, rights, people: holders }) => [
            ...[name, rights.join(',') || '-', holders.join(', ') || '-'],
          ]),
        ]),
      );
    },
  );
}

/** @throws VmcError when the stored people cannot be trusted: then only the owner may come in. */
async function read(configPath: string) {
  const { stateDir } = await loadConfig(configPath);
  const { identity, ownership } = await readKnownSelf(stateDir);
  const { ed25519 } = ownership.owner;
  const file = { stateDir, identity, vmId: ownership.vmId, owner: fingerprint(ed25519) };
  return { state: await readPeople(file), ownerKey: ed25519.toBase64() };
}
