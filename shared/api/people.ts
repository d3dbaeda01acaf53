/** Who may be in a VM and do what (requirements C3, C9). The VM alone decides; docs/rights.md has the rules. */
import * as z from 'zod';
import { ed25519Schema } from '../identity/public-identity.ts';
import { nameSchema, vmIdSchema } from '../names.ts';
import { defineMethod } from './define.ts';
import { RIGHTS, type Right } from './rights.ts';

/** The owner is not among them: an owner is learned once, and never given or taken (C3). */
export const givenRoleSchema = z.enum(['co-owner', 'manager', 'user']);
export type GivenRole = z.output<typeof givenRoleSchema>;
export const roleInVmSchema = z.enum(['owner', ...givenRoleSchema.options]);
export type RoleInVm = z.output<typeof roleInVmSchema>;

/** What `ssh-keygen -l` prints of the person's key. */
export const fingerprintSchema = z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/, 'a fingerprint looks like SHA256:…');

/** Each at most once, always in the same order. */
export const rightsSchema = z
  .array(z.enum(RIGHTS))
  .max(RIGHTS.length)
  .transform((given): Right[] => RIGHTS.filter((right) => given.includes(right)));

export const personNameSchema = nameSchema.refine((name) => name !== 'owner', 'this name stands for the owner');

const version = z.number().int().nonnegative();
/** Refuse the change unless the people's version is still this one: then nobody's change is lost. */
const expectedVersion = version.optional();
const changed = z.object({ version });

const standing = {
  /** For a user: the profile whose rights they have, or … */
  profile: nameSchema.optional(),
  /** … a set of their own ("custom"). Without either: none beyond `member`. */
  rights: rightsSchema.optional(),
};

const memberSchema = z.object({
  fingerprint: fingerprintSchema,
  name: z.string(),
  role: roleInVmSchema,
  profile: z.string().optional(),
  /** All that they may do now, wherever it comes from. */
  rights: z.array(z.enum(RIGHTS)),
});

export const personSchema = memberSchema.extend({
  /** Base64. */
  ed25519: z.string(),
  /** A fingerprint. Neither is known of the owner. */
  addedBy: z.string().optional(),
  /** Unix time in milliseconds. */
  addedAt: z.number().int().optional(),
});
export type PersonView = z.output<typeof personSchema>;

export const peopleMethods = {
  peopleMe: defineMethod({
    name: 'people.me',
    summary: 'Who the caller is here, and what they may do',
    right: 'member',
    changes: false,
    params: z.strictObject({}),
    result: memberSchema.extend({ version }),
    progress: false,
  }),
  peopleList: defineMethod({
    name: 'people.list',
    summary: 'Everybody who may come in, the owner first',
    right: 'users',
    changes: false,
    params: z.strictObject({}),
    result: z.object({ version, people: z.array(personSchema) }),
    progress: false,
  }),
  peopleAdd: defineMethod({
    name: 'people.add',
    summary: 'Let somebody come in. The same once more changes nothing',
    right: 'users',
    changes: true,
    params: z.strictObject({
      ed25519: ed25519Schema,
      name: personNameSchema,
      role: givenRoleSchema,
      ...standing,
      expectedVersion,
    }),
    result: changed,
    progress: false,
  }),
  peopleChange: defineMethod({
    name: 'people.change',
    summary: "Change somebody's role, profile or rights; what is taken away ends at once",
    right: 'users',
    changes: true,
    params: z.strictObject({
      person: fingerprintSchema,
      role: givenRoleSchema.optional(),
      ...standing,
      expectedVersion,
    }),
    result: changed,
    progress: false,
  }),
  peopleRemove: defineMethod({
    name: 'people.remove',
    summary: 'Shut somebody out; their channels and tunnels end at once',
    right: 'users',
    changes: true,
    params: z.strictObject({ person: fingerprintSchema, expectedVersion }),
    result: changed,
    progress: false,
  }),
  peopleLeave: defineMethod({
    name: 'people.leave',
    summary: 'Remove oneself',
    right: 'member',
    changes: true,
    params: z.strictObject({}),
    result: changed,
    progress: false,
  }),
  peopleReset: defineMethod({
    name: 'people.reset',
    summary: 'Begin with nobody but the owner, when the stored people cannot be trusted. Only the owner may',
    right: 'users',
    changes: true,
    /** The id of the VM, typed once more. */
    params: z.strictObject({ confirm: vmIdSchema }),
    result: changed,
    progress: false,
  }),
  profileList: defineMethod({
    name: 'profile.list',
    summary: 'The named sets of rights, and who has them',
    right: 'users',
    changes: false,
    params: z.strictObject({}),
    result: z.object({
      version,
      profiles: z.array(z.object({ name: z.string(), rights: z.array(z.enum(RIGHTS)), people: z.array(z.string()) })),
    }),
    progress: false,
  }),
  profileSet: defineMethod({
    name: 'profile.set',
    summary: 'Make a profile, or change what everybody with it may do',
    right: 'users',
    changes: true,
    params: z.strictObject({ name: nameSchema, rights: rightsSchema, expectedVersion }),
    result: changed,
    progress: false,
  }),
  profileRemove: defineMethod({
    name: 'profile.remove',
    summary: 'Remove a profile that nobody has',
    right: 'users',
    changes: true,
    params: z.strictObject({ name: nameSchema, expectedVersion }),
    result: changed,
    progress: false,
  }),
};
