/**
 * May this person change the people or profiles in this way, and what comes of it? The one place that knows the rules
 * (docs/rights.md). Pure.
 *
 * - owner > co-owner > manager > user. Only the owner makes, changes or removes co-owners; owner and co-owners do so with
 *   managers; managers, and users with the right `users`, only with users.
 * - Nobody gives a right that they lack, nor touches somebody who has one that they lack.
 * - Nobody raises themselves. Everybody but the owner may go.
 */
import type { GivenRole, RoleInVm } from '../../shared/api/people.ts';
import type { Right } from '../../shared/api/rights.ts';
import { VmcError } from '../../shared/errors.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import type { Ed25519PublicKey } from '../../shared/identity/keys.ts';
import {
  MAX_PEOPLE,
  MAX_PROFILES,
  type Member,
  memberOf,
  type PeopleState,
  type Person,
  rightsOfStanding,
  type Standing,
} from './people-state.ts';

export interface WantedStanding {
  role?: GivenRole | undefined;
  profile?: string | undefined;
  rights?: Right[] | undefined;
}

export type Change =
  | ({ kind: 'add'; ed25519: Ed25519PublicKey; name: string } & WantedStanding)
  | ({ kind: 'change'; person: string } & WantedStanding)
  | { kind: 'remove'; person: string }
  | { kind: 'leave' }
  | { kind: 'set-profile'; name: string; rights: Right[] }
  | { kind: 'remove-profile'; name: string };

const RANK: Record<RoleInVm, number> = { user: 0, manager: 1, 'co-owner': 2, owner: 3 };

/**
 * @param actor a fingerprint. @param now Unix time in milliseconds.
 * @returns the state after it, one version on; the same object when there is nothing to change.
 * @throws VmcError 'forbidden', 'not-found', 'already-exists', 'bad-request', 'wrong-state', 'limit'.
 */
export function decideChange(actor: string, state: PeopleState, change: Change, now: number): PeopleState {
  const member = memberOf(state, actor);
  if (member === undefined || (change.kind !== 'leave' && !member.rights.has('users')))
    throw forbidden('This needs the right "users" in this VM.');
  switch (change.kind) {
    case 'add':
      return add(member, state, change, now);
    case 'change':
      return alter(member, state, change);
    case 'remove':
      return remove(member, state, change.person);
    case 'leave':
      return remove(member, state, actor);
    case 'set-profile':
      return setProfile(member, state, change);
    case 'remove-profile':
      return removeProfile(member, state, change.name);
    default:
      return change satisfies never;
  }
}

function add(actor: Member, state: PeopleState, change: Change & { kind: 'add' }, now: number): PeopleState {
  const who = fingerprint(change.ed25519);
  const { name } = change;
  const standing = wantedStanding(state, change, { role: 'user', rights: [] });
  requireRank(actor, standing.role);
  requireRights(actor, rightsOfStanding(state, standing));
  if (who === state.owner)
    throw new VmcError('already-exists', 'That is the owner of this VM, who may do all there is.');
  const known = state.people.find((person) => person.fingerprint === who);
  if (known !== undefined) {
    if (known.name === name && same(known.standing, standing)) return state;
    throw new VmcError(
      'already-exists',
      `${who} may come in already, as ${known.name} (${known.standing.role}).`,
      'To give them something else, change them.',
    );
  }
  if (state.people.some((person) => person.name === name))
    throw new VmcError('already-exists', `Somebody else has the name ${name} in this VM.`, 'Choose another name.');
  if (state.people.length >= MAX_PEOPLE) throw new VmcError('limit', `A VM has at most ${MAX_PEOPLE} people.`);
  const ed25519 = change.ed25519.toBase64();
  const person: Person = { ed25519, name, standing, addedBy: actor.fingerprint, addedAt: now, fingerprint: who };
  return next(state, { people: [...state.people, person] });
}

function alter(actor: Member, state: PeopleState, change: Change & { kind: 'change' }): PeopleState {
  const person = findPerson(state, change.person);
  const standing = wantedStanding(state, change, person.standing);
  if (actor.fingerprint === person.fingerprint) {
    if (RANK[standing.role] > RANK[actor.role]) throw forbidden('Nobody raises themselves.');
  } else {
    requireRank(actor, person.standing.role);
    requireRights(actor, rightsOfStanding(state, person.standing));
    requireRank(actor, standing.role);
  }
  requireRights(actor, rightsOfStanding(state, standing));
  if (same(person.standing, standing)) return state;
  return next(state, { people: state.people.map((other) => (other === person ? { ...person, standing } : other)) });
}

function remove(actor: Member, state: PeopleState, who: string): PeopleState {
  const person = findPerson(state, who);
  if (actor.fingerprint !== who) {
    requireRank(actor, person.standing.role);
    requireRights(actor, rightsOfStanding(state, person.standing));
  }
  return next(state, { people: state.people.filter((other) => other !== person) });
}

function setProfile(actor: Member, state: PeopleState, change: Change & { kind: 'set-profile' }): PeopleState {
  const { name, rights } = change;
  const known = state.profiles.find((profile) => profile.name === name);
  requireRights(actor, [...(known?.rights ?? []), ...rights]);
  if (known === undefined) {
    if (state.profiles.length >= MAX_PROFILES)
      throw new VmcError('limit', `A VM has at most ${MAX_PROFILES} profiles.`);
    return next(state, { profiles: [...state.profiles, { name, rights }] });
  }
  if (known.rights.join() === rights.join()) return state;
  return next(state, { profiles: state.profiles.map((other) => (other === known ? { name, rights } : other)) });
}

const SHOWN = 5;

function removeProfile(actor: Member, state: PeopleState, name: string): PeopleState {
  const known = findProfile(state, name);
  requireRights(actor, known.rights);
  const holders = state.people.filter(({ standing }) => 'profile' in standing && standing.profile === name);
  if (holders.length > 0) {
    const names = holders.slice(0, SHOWN).map((person) => person.name);
    const more = holders.length > SHOWN ? ` and ${holders.length - SHOWN} more` : '';
    throw new VmcError(
      'wrong-state',
      `The profile ${name} is in use: ${names.join(', ')}${more} ${holders.length === 1 ? 'has' : 'have'} it.`,
      'Give them another profile or rights of their own first.',
    );
  }
  return next(state, { profiles: state.profiles.filter((other) => other !== known) });
}

/** @param before what holds where nothing is said. */
function wantedStanding(state: PeopleState, wanted: WantedStanding, before: Standing): Standing {
  const role = wanted.role ?? before.role;
  const { profile, rights } = wanted;
  if (role !== 'user') {
    if (profile !== undefined || rights !== undefined)
      throw new VmcError('bad-request', `A ${role} has all rights.`, 'Profiles and rights of their own are for users.');
    return { role };
  }
  if (profile !== undefined && rights !== undefined)
    throw new VmcError('bad-request', 'A user has a profile or rights of their own, not both.');
  if (profile !== undefined) return { role, profile: findProfile(state, profile).name };
  if (rights !== undefined) return { role, rights };
  return before.role === 'user' ? before : { role, rights: [] };
}

function requireRank(actor: Member, role: GivenRole): void {
  if (RANK[actor.role] > RANK[role] || (actor.role === 'user' && role === 'user')) return;
  throw forbidden(
    role === 'co-owner'
      ? 'Only the owner makes, changes or removes co-owners.'
      : 'Only the owner and co-owners make, change or remove managers.',
  );
}

/** Also of what somebody has who is to be changed: it can be lost only to who could give it back. */
function requireRights(actor: Member, rights: Iterable<Right>): void {
  const lacking = new Set([...rights].filter((right) => !actor.rights.has(right)));
  if (lacking.size > 0) throw forbidden(`You lack the rights that this is about: ${[...lacking].join(', ')}.`);
}

function findPerson(state: PeopleState, who: string): Person {
  if (who === state.owner)
    throw forbidden('Nobody can change or remove the owner of a VM, not even the owner: that is learned once.');
  const person = state.people.find((other) => other.fingerprint === who);
  if (person === undefined) throw new VmcError('not-found', `This VM knows nobody with the key ${who}.`);
  return person;
}

function findProfile(state: PeopleState, name: string) {
  const profile = state.profiles.find((other) => other.name === name);
  if (profile === undefined) throw new VmcError('not-found', `This VM has no profile ${name}.`);
  return profile;
}

const next = (state: PeopleState, change: Partial<PeopleState>): PeopleState => ({
  ...state,
  ...change,
  version: state.version + 1,
});

/** Both are canonical: the same keys in the same order. */
const same = (a: Standing, b: Standing): boolean => JSON.stringify(a) === JSON.stringify(b);

const forbidden = (message: string) =>
  new VmcError('forbidden', message, 'Ask the owner of the VM, or a co-owner or manager.');
