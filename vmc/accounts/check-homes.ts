/**
 * The folder that homes are made in. Root works there, and starts people's programs there: nobody else may put something in
 * its way, nor another folder in its place.
 */
import { lstat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';

const WRITABLE = 0o022;
/** What lies in such a folder is renamed and removed by its owner only (chmod(1), restricted deletion flag). */
const STICKY = 0o1000;

/** @throws VmcError 'wrong-state' unless it is a folder of root that only root can write to, and that others cannot replace. */
export async function checkHomes(homes: string): Promise<void> {
  const refused = (why: string) =>
    new VmcError(
      'wrong-state',
      `No home can be in ${homes}: ${why}.`,
      'It is accounts.homes in vmc.toml: a folder of root that only root can write to or put another in place of. If it is on a drive, open the drive, and let its root folder be sticky: chmod +t.',
    );
  for (let folder = homes; ; folder = dirname(folder)) {
    const name = folder === homes ? 'it' : folder;
    const found = await lstat(folder).catch((error: unknown) => {
      throw isErrno(error, 'ENOENT') ? refused(`${name} is not there`) : error;
    });
    if (!found.isDirectory()) throw refused(`${name} is not a folder`);
    const open = (found.mode & WRITABLE) !== 0 && (folder === homes || (found.mode & STICKY) === 0);
    if (found.uid !== 0 || open) throw refused(`others can write to ${name}`);
    if (folder === '/') return;
  }
}
