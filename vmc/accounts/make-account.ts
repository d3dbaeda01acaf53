/** Making an account, step by step, each of which may find itself done by an attempt that a crash ended. */
import { chmod, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { run } from '../../shared/run.ts';
import { findGroups, findHome, findUsers } from './look-up.ts';
import type { Account } from './plan-account.ts';
import { type MakeStep, planMake } from './plan-make.ts';

/** What a new home begins with. */
const SKELETON = '/etc/skel';
const TIMEOUT_MS = 60_000;

export interface FullAccount extends Account {
  home: string;
  shell: string;
}

/** Does nothing when all is there. @throws VmcError 'wrong-state' when something of somebody else is in its place. */
export async function makeAccount(account: FullAccount): Promise<void> {
  const { name, uid, home } = account;
  const [users, groups, homeOwner] = await Promise.all([
    findUsers([name, uid]),
    findGroups([name, uid]),
    findHome(home),
  ]);
  for (const step of planMake(account, { users, groups, home: homeOwner })) await makeStep(step, account);
}

async function makeStep(step: MakeStep, account: FullAccount): Promise<void> {
  const { name, uid, home, shell } = account;
  switch (step) {
    case 'group':
      await run({ file: 'groupadd', args: ['--gid', `${uid}`, '--', name], timeoutMs: TIMEOUT_MS });
      return;
    case 'user': {
      // No password: useradd leaves it locked. The home is a step of its own, as a crash may come between.
      const ids = ['--uid', `${uid}`, '--gid', `${uid}`, '--no-log-init'];
      const place = ['--home-dir', home, '--no-create-home', '--shell', shell];
      await run({ file: 'useradd', args: [...ids, ...place, '--', name], timeoutMs: TIMEOUT_MS });
      return;
    }
    case 'home':
      return makeHome(account);
    default:
      return step satisfies never;
  }
}

/** Whole or not at all: made beside its place, then renamed. */
async function makeHome({ name, uid, home }: FullAccount): Promise<void> {
  const homes = dirname(home);
  await checkHomes(homes);
  const fresh = join(homes, `.vmc-new-${name}`);
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o700 });
  if ((await findHome(SKELETON)) !== 'missing') {
    const args = ['--recursive', '--no-dereference', '--no-target-directory', '--', SKELETON, fresh];
    await run({ file: 'cp', args, timeoutMs: TIMEOUT_MS });
  }
  const args = ['--recursive', '--no-dereference', '--', `${uid}:${uid}`, fresh];
  await run({ file: 'chown', args, timeoutMs: TIMEOUT_MS });
  await chmod(fresh, 0o700);
  await rename(fresh, home);
}

/** Root works in this folder: nobody else may put something in its way. */
async function checkHomes(homes: string): Promise<void> {
  const refused = (why: string) =>
    new VmcError(
      'wrong-state',
      `No home can be made in ${homes}: ${why}.`,
      'It is accounts.homes in vmc.toml: a folder of root that only root can write to. If it is on a drive, open the drive.',
    );
  try {
    const found = await lstat(homes);
    if (!found.isDirectory()) throw refused('it is not a folder');
    if (found.uid !== 0 || (found.mode & 0o022) !== 0) throw refused('others can write to it');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw refused('it is not there');
    throw error;
  }
}
