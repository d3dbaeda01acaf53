/** The bootstrap document: from the credential of this boot, or a copy of an earlier one. */
import { type Bootstrap, bootstrapSchema } from '../../shared/bootstrap.ts';
import { VmcError } from '../../shared/errors.ts';
import { readIfThere } from '../../shared/files.ts';
import { describeIssues } from '../../shared/validate.ts';

const MAX_BOOTSTRAP_CHARS = 64 * 1024;

export const MISSING_BOOTSTRAP_HINT =
  'The host agent gives it to the VM as the systemd credential "vmc.bootstrap"; start the VM through the host agent.';

/** @throws VmcError 'bad-config' that names the field at fault, never its value. */
export function parseBootstrap(text: string, source: string): Bootstrap {
  const hint = 'Shut the VM down and start it again through the host agent, which writes it anew.';
  if (text.length > MAX_BOOTSTRAP_CHARS)
    throw new VmcError('bad-config', `The bootstrap document ${source} is too long.`, hint);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new VmcError('bad-config', `The bootstrap document ${source} is not JSON.`, hint);
  }
  const parsed = bootstrapSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new VmcError('bad-config', `The bootstrap document ${source} is wrong: ${describeIssues(parsed.error)}.`, hint);
}

/** @returns undefined when there is no such file. */
export async function readBootstrap(path: string): Promise<Bootstrap | undefined> {
  const text = await readIfThere(path);
  return text === undefined ? undefined : parseBootstrap(text, path);
}
