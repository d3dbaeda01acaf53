/** The signature at the beginning of a device. */
import { open } from 'node:fs/promises';
import { VmcError } from '../../shared/errors.ts';
import { run } from '../../shared/run.ts';
import { parseBlkid, type Signature, signature } from './parse-blkid.ts';
import { isDirty, isUnfinished } from './parse-state.ts';
import { parseSuperblock, SUPERBLOCK_BYTES } from './parse-superblock.ts';

const NOTHING = 2;
const SEVERAL = 8;

/**
 * What vmc makes itself is seen here; of everything else blkid tells, past any cache of its own.
 * @returns undefined when it knows nothing there. @throws VmcError when it could not look: that is not the same as blank.
 */
export async function signatureOf(path: string): Promise<Signature | undefined> {
  return (await ownSignatureOf(path)) ?? (await otherSignatureOf(path));
}

/** @returns undefined for what vmc does not make. */
export async function ownSignatureOf(path: string): Promise<Signature | undefined> {
  const start = await readStart(path);
  const ours = parseSuperblock(start);
  if (ours === undefined) return undefined;
  if (ours === 'crypto_LUKS') return { ...signature(ours, false), unfinished: isUnfinished(start) };
  return { ...signature(ours, true), dirty: isDirty(ours, start) };
}

/** As `signatureOf`, of what vmc does not make. */
export async function otherSignatureOf(path: string): Promise<Signature | undefined> {
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

async function readStart(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(SUPERBLOCK_BYTES), 0, SUPERBLOCK_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
