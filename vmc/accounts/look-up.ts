/** Users and groups that are there, wherever the VM has them from (nsswitch.conf). */
import { lstat } from 'node:fs/promises';
import { isErrno } from '../../shared/files.ts';
import { run } from '../../shared/run.ts';
import { type Group, parseGroup, parsePasswd, type User } from './parse-getent.ts';
import type { ObservedAccount } from './plan-make.ts';

/** Some of the keys are unknown, which is an answer. */
const NOT_ALL_FOUND = 2;

async function getent(database: 'passwd' | 'group', keys: readonly (string | number)[]): Promise<string> {
  const args = [database, '--', ...keys.map(String)];
  const { stdout } = await run({ file: 'getent', args, okExitCodes: [0, NOT_ALL_FOUND], timeoutMs: 20_000 });
  return stdout;
}

/** @param keys names and ids. */
export const findUsers = async (keys: readonly (string | number)[]): Promise<User[]> =>
  parsePasswd(await getent('passwd', keys));

export const findGroups = async (keys: readonly (string | number)[]): Promise<Group[]> =>
  parseGroup(await getent('group', keys));

/** @returns the uid of the folder's owner. */
export async function findHome(path: string): Promise<ObservedAccount['home']> {
  try {
    const found = await lstat(path);
    return found.isDirectory() ? found.uid : 'other';
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 'missing';
    throw error;
  }
}
