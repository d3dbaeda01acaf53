/** The group whose members may use what is on drives: the accounts of those who have the right `drives`. */
import { readFile } from 'node:fs/promises';
import { VmcError } from '../../shared/errors.ts';
import { run } from '../../shared/run.ts';
import { findGroups } from './look-up.ts';
import { parseGroup } from './parse-getent.ts';
import { DRIVES_GROUP } from './plan-account.ts';
import { planMembers } from './plan-members.ts';

const TIMEOUT_MS = 60_000;
const { name: GROUP, uid: GID } = DRIVES_GROUP;

/** Makes it when it is missing. @returns its members. @throws VmcError 'wrong-state' when another group has its name or gid. */
export async function drivesGroup(): Promise<string[]> {
  const found = await findGroups([GROUP, GID]);
  for (const group of found)
    if (group.name !== GROUP || group.gid !== GID)
      throw new VmcError(
        'wrong-state',
        `There is a group ${group.name} (${group.gid}) where ${GROUP} (${GID}) belongs.`,
        'Somebody changed the groups of this VM by hand. Put them right, then try again.',
      );
  if (found.length === 0)
    await run({ file: 'groupadd', args: ['--gid', `${GID}`, '--', GROUP], timeoutMs: TIMEOUT_MS });
  return found[0]?.members ?? [];
}

/** @param mayUse by account name, of every account that vmc has made. */
export async function setMembers(mayUse: ReadonlyMap<string, boolean>): Promise<void> {
  const { add, remove } = planMembers(await drivesGroup(), mayUse);
  for (const name of remove) await run({ file: 'gpasswd', args: ['--delete', name, GROUP], timeoutMs: TIMEOUT_MS });
  for (const name of add) await run({ file: 'gpasswd', args: ['--add', name, GROUP], timeoutMs: TIMEOUT_MS });
}

/** Asks the VM's other sources of groups only when the group is not among its own (group(5)). */
export async function drivesGid(): Promise<number> {
  const own = parseGroup(await readFile('/etc/group', 'utf8')).filter(({ name, gid }) => name === GROUP || gid === GID);
  if (own.length === 0 || own.some(({ name, gid }) => name !== GROUP || gid !== GID)) await drivesGroup();
  return GID;
}
