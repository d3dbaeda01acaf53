/** The people of a VM as vmc knows them, and what follows from it. Pure: a state is a value and never changes. */
import * as z from 'zod';
import { fingerprintSchema, personNameSchema, type RoleInVm, rightsSchema } from '../../shared/api/people.ts';
import { RIGHTS, type Right } from '../../shared/api/rights.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import { ed25519Schema } from '../../shared/identity/public-identity.ts';
import { nameSchema } from '../../shared/names.ts';

export const MAX_PEOPLE = 500;
export const MAX_PROFILES = 100;

/** Co-owners and managers have all rights; a user those of a profile, or a custom set. */
const standingSchema = z.union([
  z.strictObject({ role: z.enum(['co-owner', 'manager']) }),
  z.strictObject({ role: z.literal('user'), profile: nameSchema }),
  z.strictObject({ role: z.literal('user'), rights: rightsSchema }),
]);
export type Standing = z.output<typeof standingSchema>;

const storedPersonSchema = z.strictObject({
  /** Base64; the key is who they are. */
  ed25519: z.string().refine((text) => ed25519Schema.safeParse(text).success, 'not an Ed25519 key'),
  name: personNameSchema,
  standing: standingSchema,
  addedBy: fingerprintSchema,
  addedAt: z.number().int(),
});
const profileSchema = z.strictObject({ name: nameSchema, rights: rightsSchema });
export type Profile = z.output<typeof profileSchema>;

/** What is stored. The owner is not part of it, so nothing that happens to it touches the owner. */
export const storedPeopleSchema = z
  .strictObject({
    /** Grows by one with each change. */
    version: z.number().int().nonnegative(),
    people: z.array(storedPersonSchema).max(MAX_PEOPLE),
    profiles: z.array(profileSchema).max(MAX_PROFILES),
  })
  .refine(({ people }) => distinct(people.map(({ ed25519 }) => ed25519)), 'a person is there twice')
  .refine(({ people }) => distinct(people.map(({ name }) => name)), 'two people have one name')
  .refine(({ profiles }) => distinct(profiles.map(({ name }) => name)), 'two profiles have one name')
  .refine(
    ({ people, profiles }) =>
      people.every(
        ({ standing }) => !('profile' in standing) || profiles.some(({ name }) => name === standing.profile),
      ),
    'somebody has a profile that is not there',
  );
export type StoredPeople = z.output<typeof storedPeopleSchema>;

export interface Person extends z.output<typeof storedPersonSchema> {
  fingerprint: string;
}

export interface PeopleState {
  /** Fingerprint. */
  readonly owner: string;
  readonly version: number;
  readonly people: readonly Person[];
  readonly profiles: readonly Profile[];
}

/** Somebody who may come in, and what they may do. */
export interface Member {
  fingerprint: string;
  role: RoleInVm;
  rights: ReadonlySet<Right>;
}

const EVERYTHING: ReadonlySet<Right> = new Set(RIGHTS);

const distinct = (texts: readonly string[]): boolean => new Set(texts).size === texts.length;

export const nobody = (owner: string, version = 0): PeopleState => ({ owner, version, people: [], profiles: [] });

export function fromStored(owner: string, { version, people, profiles }: StoredPeople): PeopleState {
  const known = people.map((person) => ({ ...person, fingerprint: fingerprint(ed25519Schema.parse(person.ed25519)) }));
  return { owner, version, people: known, profiles };
}

export function toStored({ version, people, profiles }: PeopleState): StoredPeople {
  return {
    version,
    people: people.map(({ fingerprint: _, ...person }) => person),
    profiles: [...profiles],
  };
}

/** What a standing allows in this state. A profile that is not there allows nothing. */
export function rightsOfStanding(state: Pick<PeopleState, 'profiles'>, standing: Standing): ReadonlySet<Right> {
  if (standing.role !== 'user') return EVERYTHING;
  if ('rights' in standing) return new Set(standing.rights);
  return new Set(state.profiles.find(({ name }) => name === standing.profile)?.rights);
}

/** @returns undefined for someone this VM does not know. */
export function memberOf(state: PeopleState, who: string): Member | undefined {
  if (who === state.owner) return { fingerprint: who, role: 'owner', rights: EVERYTHING };
  const person = state.people.find(({ fingerprint }) => fingerprint === who);
  if (person === undefined) return undefined;
  return { fingerprint: who, role: person.standing.role, rights: rightsOfStanding(state, person.standing) };
}

/** @returns undefined for someone this VM does not know. */
export const nameOf = (state: PeopleState, who: string): string | undefined =>
  who === state.owner ? 'owner' : state.people.find(({ fingerprint }) => fingerprint === who)?.name;

export function holdsAll(rights: ReadonlySet<Right>, wanted: Iterable<Right>): boolean {
  for (const right of wanted) if (!rights.has(right)) return false;
  return true;
}

/** Who may do less after a change than before it, or may not come in any more. */
export function whoLost(before: PeopleState, after: PeopleState): Person[] {
  return before.people.filter((person) => {
    const now = memberOf(after, person.fingerprint);
    return now === undefined || !holdsAll(now.rights, rightsOfStanding(before, person.standing));
  });
}
