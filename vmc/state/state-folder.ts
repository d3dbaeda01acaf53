/** The folder of everything that vmc must remember, for root's eyes only. */
import { chmod, lstat } from 'node:fs/promises';
import { VmcError } from '../../shared/errors.ts';
import { makeFolder } from '../../shared/files.ts';

/** @throws VmcError 'bad-config' when the path is no folder of our own, or others can get into it and that cannot be changed. */
export async function openStateFolder(path: string): Promise<string> {
  await makeFolder(path, 0o700);
  const found = await lstat(path);
  if (!found.isDirectory())
    throw new VmcError('bad-config', `${path} is not a folder.`, 'stateDir in vmc.toml names the folder for keys.');
  if (found.uid !== process.getuid?.())
    throw new VmcError('bad-config', `${path} belongs to user ${found.uid}.`, `Run: chown root: ${path}`);
  if ((found.mode & 0o777) !== 0o700) await chmod(path, 0o700);
  return path;
}
