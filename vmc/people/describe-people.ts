/** The people and profiles as the control channel shows them. Pure. */
import type * as z from 'zod';
import type { controlMethods } from '../../shared/api/index.ts';
import { RIGHTS, type Right } from '../../shared/api/rights.ts';
import { VmcError } from '../../shared/errors.ts';
import { type PeopleState, rightsOfStanding, type Standing } from './people-state.ts';

type Result<K extends keyof typeof controlMethods> = z.input<(typeof controlMethods)[K]['result']>;

/** @param ownerKey base64. */
export function describePeople(state: PeopleState, ownerKey: string): Result<'peopleList'> {
  const owner = {
    fingerprint: state.owner,
    ed25519: ownerKey,
    name: 'owner',
    role: 'owner' as const,
    rights: [...RIGHTS],
  };
  const people = state.people.map(({ fingerprint, ed25519, name, standing, addedBy, addedAt }) => ({
    ...{ fingerprint, ed25519, name, addedBy, addedAt },
    ...describeStanding(state, standing),
  }));
  return { version: state.version, people: [owner, ...people] };
}

/** @throws VmcError 'forbidden' for somebody who was removed meanwhile. */
export function describeMember(state: PeopleState, who: string): Result<'peopleMe'> {
  const { version } = state;
  const person = state.people.find(({ fingerprint }) => fingerprint === who);
  if (who === state.owner) return { fingerprint: who, name: 'owner', role: 'owner', rights: [...RIGHTS], version };
  if (person === undefined) throw new VmcError('forbidden', 'This VM does not know you any more.');
  return { fingerprint: who, name: person.name, ...describeStanding(state, person.standing), version };
}

export function describeProfiles({ version, profiles, people }: PeopleState): Result<'profileList'> {
  const holders = (profile: string) =>
    people.filter(({ standing }) => 'profile' in standing && standing.profile === profile).map(({ name }) => name);
  return { version, profiles: profiles.map(({ name, rights }) => ({ name, rights, people: holders(name) })) };
}

function describeStanding(state: PeopleState, standing: Standing) {
  const rights = inOrder(rightsOfStanding(state, standing));
  return { role: standing.role, ...('profile' in standing ? { profile: standing.profile } : {}), rights };
}

const inOrder = (rights: ReadonlySet<Right>) => RIGHTS.filter((right) => rights.has(right));
