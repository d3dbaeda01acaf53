/** The signature that blkid finds at the beginning of a device, past any cache of its own. */
import { VmcError } from '../../shared/errors.ts';
import { run } from '../../shared/run.ts';
import { parseBlkid, type Signature } from './parse-blkid.ts';

const NOTHING = 2;
const SEVERAL = 8;

/** @returns undefined when blkid knows nothing there. @throws VmcError when it could not look: that is not the same as blank. */
export async function signatureOf(path: string): Promise<Signature | undefined> {
  const { exitCode, stdout, stderr } = await run({
    file: 'blkid',
    args: ['-p', '-o', 'export', path],
    okExitCodes: [0, NOTHING, SEVERAL],
    timeoutMs: 30_000,
  });
  if (exitCode === SEVERAL) return { description: 'data of several kinds at once' };
  // 2 also means that the device could not be opened; blkid then says so.
  if (exitCode === NOTHING && stderr.trim() !== '') throw new VmcError('command-failed', `blkid cannot read ${path}.`);
  return exitCode === NOTHING ? undefined : (parseBlkid(stdout) ?? { description: 'data that blkid knows' });
}
