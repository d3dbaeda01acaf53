/** Putting a header back: only one that the key opens, and only over the data that it belongs to. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileSystemSchema } from '../../shared/api/drive.ts';
import { VmcError } from '../../shared/errors.ts';
import { run } from '../../shared/run.ts';
import { runOnDevices } from './device-mapper.ts';
import { before } from './fault-points.ts';
import { checkHeader, copyHeader, inMemory, withHeader, writeHeader } from './header-copy.ts';
import { packHeader, unpackHeader } from './header-pack.ts';
import { checkSlot } from './key-slots.ts';
import { luksClose } from './luks.ts';
import { mappingName, mappingPath } from './names.ts';
import { observe } from './observe.ts';
import { signatureOf } from './signature.ts';
import { type Secret, unlockedSlot } from './unlock.ts';

const TIMEOUT_MS = 120_000;

/** @returns the header as a backup keeps it. @throws VmcError 'wrong-state' in the middle of a re-encryption. */
export function backupHeader(driveId: string, device: string): Promise<Buffer> {
  return withHeader(driveId, device, async (header, { reencryption }) => {
    if (reencryption !== undefined)
      throw new VmcError(
        'wrong-state',
        `The drive ${driveId} is in the middle of its re-encryption: a backup of its header would not fit the data later.`,
        'Let that come to its end first: connect drive reencrypt',
      );
    return packHeader(await readFile(header));
  });
}

/**
 * A crash in between leaves the drive as it was, or with a header half written, over which the same can be restored again.
 * @param packed what `backupHeader` gave.
 * @throws VmcError 'busy' unless the drive is closed; 'bad-data' when the header is not for this data; 'wrong-key'.
 */
export async function restoreHeader(driveId: string, device: string, packed: Uint8Array, key: Secret): Promise<void> {
  const { mounts, holders } = await observe(driveId, device);
  if (mounts.length > 0 || holders.some((name) => name !== mappingName(driveId)))
    throw new VmcError('busy', `The drive ${driveId} is in use.`, 'Close it first.');
  if (holders.length > 0) await luksClose(driveId); // left by a restore that was cut
  await requireNotMoving(driveId, device);
  await inMemory(async (folder) => {
    const [given, header] = [join(folder, 'given'), join(folder, 'header')];
    await writeFile(given, await unpackHeader(packed), { mode: 0o600 });
    const checked = await copyHeader(driveId, given, header);
    if (checked.reencryption !== undefined)
      throw new VmcError('bad-data', 'This backup was taken in the middle of a re-encryption.', 'Use another one.');
    await unlockedSlot(driveId, header, checked, key);
    await requireItsData(driveId, device, header, key);
    await before('drive.headerRestore:write');
    await writeHeader(driveId, device, header, 'all');
  });
  await checkSlot(driveId, device, key);
}

/** A header that is whole and says that the data are on their way to another key must not be lost. */
async function requireNotMoving(driveId: string, device: string): Promise<void> {
  const present = await checkHeader(driveId, device).catch(() => undefined); // damaged: that is what restoring is for
  if (present?.reencryption === undefined) return;
  throw new VmcError(
    'wrong-state',
    `The header of the drive ${driveId} is whole, and in the middle of a re-encryption: an older one would lose data.`,
    'Open the drive with its key, and let the re-encryption come to its end.',
  );
}

/** Looks at the data through the header, read-only. */
async function requireItsData(driveId: string, device: string, header: string, { bytes }: Secret): Promise<void> {
  const args = ['open', '--type', 'luks2', '--readonly', '--header', header, '--key-file', '-'];
  const open = [...args, device, mappingName(driveId)];
  await runOnDevices({ file: 'cryptsetup', args: open, stdin: bytes, timeoutMs: TIMEOUT_MS });
  try {
    const type = fileSystemSchema.safeParse((await signatureOf(mappingPath(driveId)))?.type);
    if (type.success && (type.data !== 'ext4' || (await isExt4(mappingPath(driveId))))) return;
  } finally {
    await luksClose(driveId);
  }
  throw new VmcError(
    'bad-data',
    `This header does not belong to what is on the drive ${driveId} now: nothing that it decrypts is a file system.`,
    'Was it taken before a re-encryption, or from another drive? Nothing was changed. Use a later backup.',
  );
}

/** The mark of ext4 is two bytes, which chance writes too: its superblock has a checksum. */
async function isExt4(path: string): Promise<boolean> {
  const args = ['-h', path];
  return (await run({ file: 'dumpe2fs', args, okExitCodes: [0, 1], timeoutMs: TIMEOUT_MS })).exitCode === 0;
}
