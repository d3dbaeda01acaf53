/** Making a file system and emptying a device. */
import { open } from 'node:fs/promises';
import type { FileSystem } from '../../shared/api/drive.ts';
import { run } from '../../shared/run.ts';
import { HEADER_BYTES } from './parse-luks-header.ts';

const TIMEOUT_MS = 10 * 60_000;
/** Blocks of the LUKS volume's own sector size. The device is fresh: discarding it first would only cost time. */
const MAKE: Record<FileSystem, { file: string; args: string[] }> = {
  ext4: {
    file: 'mkfs.ext4',
    args: ['-q', '-F', '-m', '0', '-b', '4096', '-E', 'nodiscard,lazy_itable_init=1,lazy_journal_init=1'],
  },
  xfs: { file: 'mkfs.xfs', args: ['-q', '-f', '-K'] },
  btrfs: { file: 'mkfs.btrfs', args: ['--quiet', '--force', '--nodiscard', '--metadata', 'dup'] },
};

/** @param lock inherited, so that nobody else begins while it writes. */
export async function makeFileSystem(path: string, fileSystem: FileSystem, lock?: number): Promise<void> {
  const { file, args } = MAKE[fileSystem];
  const inherit = lock === undefined ? {} : { inherit: lock };
  await run({ file, args: [...args, path], timeoutMs: TIMEOUT_MS, ...inherit });
}

/** Removes every signature that blkid knows, so that nothing takes the device for what it was. */
export async function wipeSignatures(device: string): Promise<void> {
  await run({ file: 'wipefs', args: ['--all', device], timeoutMs: 60_000 });
}

const CHUNK_BYTES = 1024 * 1024;

/** Makes the beginning of a device zeros again, to where data begin: undoes a format of a device that was blank. */
export async function zeroStart(device: string): Promise<void> {
  const file = await open(device, 'r+');
  try {
    const zeros = Buffer.alloc(CHUNK_BYTES);
    for (let at = 0; at < HEADER_BYTES + CHUNK_BYTES; at += CHUNK_BYTES) await file.write(zeros, 0, CHUNK_BYTES, at);
    await file.sync();
  } finally {
    await file.close();
  }
}
