/**
 * People whose keys this device knows: they were let into a VM, or a drive is shared with them or by them. The backend says
 * which key an account has; it is believed once, when the person at this device has compared the fingerprint or said that
 * they need not, and never against what is written here.
 *
 *   { "bob": { "ed25519", "fingerprint" } }
 */
import * as z from 'zod';
import { equalBytes } from '../shared/bytes.ts';
import { VmcError } from '../shared/errors.ts';
import { fingerprint } from '../shared/identity/fingerprint.ts';
import type { Ed25519PublicKey } from '../shared/identity/keys.ts';
import { ed25519Schema } from '../shared/identity/public-identity.ts';
import { nameSchema } from '../shared/names.ts';

export const knownPeopleSchema = z.record(
  nameSchema,
  z.strictObject({
    ed25519: z.string().refine((text) => ed25519Schema.safeParse(text).success, 'a key is damaged'),
    /** For people to read; the key is what counts. */
    fingerprint: z.string(),
  }),
);
export type KnownPeople = z.output<typeof knownPeopleSchema>;

export interface PresentedPerson {
  /** Of the account. */
  name: string;
  ed25519: Ed25519PublicKey;
}

/**
 * Whether the key is the pinned one (false: nobody of that name is pinned).
 * @param accepted a fingerprint that the person at this device has typed.
 * @throws VmcError 'identity-changed' when the key is another than the pinned or the typed one.
 */
export function isKnownPerson(known: KnownPeople, person: PresentedPerson, accepted: string | undefined): boolean {
  const offered = fingerprint(person.ed25519);
  const { name } = person;
  if (accepted !== undefined && accepted !== offered)
    throw new VmcError(
      'identity-changed',
      `The backend presents ${offered} for ${name}, not what --fingerprint says. Nothing was changed.`,
      `Ask ${name} what "connect fingerprint" prints. If it is what you typed, somebody stands in between: tell an administrator.`,
    );
  const entry = Object.hasOwn(known, name) ? known[name] : undefined; // somebody may be called constructor
  if (entry === undefined) return false;
  if (equalBytes(ed25519Schema.parse(entry.ed25519), person.ed25519)) return true;
  if (accepted !== undefined) return false; // they have compared the new one
  throw new VmcError(
    'identity-changed',
    `THE KEY OF ${name} HAS CHANGED: this device knows ${entry.fingerprint}, now the backend presents ${offered}. Nothing was changed.`,
    `Somebody may stand in for ${name}. Only if they tell you themselves that they have a new key: --fingerprint ${offered}`,
  );
}

export function pinPerson(known: KnownPeople, { name, ed25519 }: PresentedPerson): KnownPeople {
  return { ...known, [name]: { ed25519: ed25519.toBase64(), fingerprint: fingerprint(ed25519) } };
}
