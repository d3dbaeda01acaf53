/** The person that is meant: an account at the backend whose key is checked, or somebody whom the VM knows. */
import type { PersonView } from '../../shared/api/people.ts';
import { VmcError } from '../../shared/errors.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import type { User } from '../../shared/rest-api/accounts.ts';
import { routes } from '../../shared/rest-api/index.ts';
import { askYes } from '../confirm.ts';
import { note } from '../io.ts';
import { isKnownPerson, pinPerson } from '../known-people.ts';
import { resolve } from '../resolve.ts';
import { ask, type Session } from '../session.ts';

export interface TrustOptions {
  /** What the person said their fingerprint is. */
  fingerprint?: string;
  /** Take the backend's word. */
  yes?: boolean;
}

/**
 * An account by name or id, with the key that this device has pinned for it or pins now.
 * @throws VmcError 'not-found'; 'identity-changed' for another key than the pinned one; 'bad-request' when a new one was not confirmed.
 */
export async function findAccount(session: Session, wanted: string, options: TrustOptions): Promise<User> {
  const { users } = await ask(session, routes.userList, { params: {}, body: {} });
  const user = resolve(users, ({ userId }) => userId, wanted, 'account');
  const person = { name: user.name, ed25519: user.identity.ed25519 };
  const known = await session.folder.knownPeople();
  if (isKnownPerson(known, person, options.fingerprint)) return user;
  if (options.fingerprint === undefined) await confirm(session, user, options.yes === true);
  await session.folder.changeKnownPeople((now) => {
    isKnownPerson(now, person, options.fingerprint); // another connect may have pinned a key meanwhile
    return pinPerson(now, person);
  });
  return user;
}

async function confirm({ io }: Session, { name, identity }: User, yes: boolean): Promise<void> {
  const print = fingerprint(identity.ed25519);
  note(io, `This device does not know ${name} yet. The backend says that their key is ${print}`);
  if (yes) return;
  const confirmed = await askYes(io, `Is that what "connect fingerprint" prints for ${name}?`);
  if (confirmed === undefined)
    throw new VmcError(
      'bad-request',
      `The key of ${name} was not confirmed. Nothing was changed.`,
      `Ask ${name} what "connect fingerprint" prints, then: --fingerprint SHA256:… (or --yes to take the backend's word)`,
    );
  if (!confirmed) throw new VmcError('cancelled', `The key of ${name} was not confirmed. Nothing was changed.`);
}

/** By name or fingerprint, of those whom the VM itself knows. @throws VmcError 'not-found'. */
export function findInVm(people: readonly PersonView[], wanted: string): PersonView {
  return resolve(people, (person) => person.fingerprint, wanted, 'person in this VM');
}
