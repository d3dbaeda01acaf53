/** What is missing of an account that was decided on, whatever a crash has left of it. Pure. */
import { VmcError } from '../../shared/errors.ts';
import type { Group, User } from './parse-getent.ts';
import type { Account } from './plan-account.ts';

export interface ObservedAccount {
  /** Those that have the account's name or its id. */
  users: readonly User[];
  groups: readonly Group[];
  /** Who has the folder that is to be the home; 'missing', or 'other' for what is no folder. */
  home: number | 'missing' | 'other';
}

export type MakeStep = 'group' | 'user' | 'home';

/** @returns the steps in order. @throws VmcError 'wrong-state' when something of somebody else is in the place. */
export function planMake({ name, uid }: Account, { users, groups, home }: ObservedAccount): MakeStep[] {
  const foreign = (what: string) =>
    new VmcError(
      'wrong-state',
      `The account ${name} (user id ${uid}) cannot be made: ${what}.`,
      'Somebody changed the accounts of this VM by hand. Put them right, then try again.',
    );
  for (const group of groups)
    if (group.name !== name || group.gid !== uid) throw foreign(`there is a group ${group.name} (${group.gid})`);
  for (const user of users)
    if (user.name !== name || user.uid !== uid || user.gid !== uid)
      throw foreign(`there is a user ${user.name} (${user.uid}, group ${user.gid})`);
  if (home !== 'missing' && home !== uid) throw foreign('its home is there and belongs to somebody else');
  return [
    ...(groups.length === 0 ? (['group'] as const) : []),
    ...(users.length === 0 ? (['user'] as const) : []),
    ...(home === 'missing' ? (['home'] as const) : []),
  ];
}
