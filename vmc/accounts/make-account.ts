/** Making an account, step by step, each of which may find itself done by an attempt that a crash ended. */
import { chmod, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { run } from '../../shared/run.ts';
import { checkHomes } from './check-homes.ts';
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
  await checkHomes(dirname(home)); // also for a home that is there: another could be in its place
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
  const fresh = join(dirname(home), `.vmc-new-${name}`);
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
