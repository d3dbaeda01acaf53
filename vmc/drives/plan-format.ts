/** Which steps put LUKS2 and a file system on a drive as it is now, or why that must not be. */
import type { FileSystem } from '../../shared/api/drive.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Observed } from './observe.ts';

export interface FormatRequest {
  driveId: string;
  fileSystem: FileSystem;
  /** The drive's id once more, to overwrite what is there. */
  overwrite?: string | undefined;
}

export type FormatStep =
  | { step: 'wipe-signatures' }
  | { step: 'luks-format' }
  | { step: 'luks-open' }
  | { step: 'make-file-system'; fileSystem: FileSystem }
  | { step: 'luks-close' }
  | { step: 'mark-whole' };

const MiB = 1024 * 1024;
/** The LUKS2 header takes 16 MiB; mkfs.xfs wants 300 MiB for itself, mkfs.btrfs 109 MiB. */
const LEAST_BYTES: Record<FileSystem, number> = { ext4: 24 * MiB, xfs: 320 * MiB, btrfs: 128 * MiB };

/**
 * What a format of the same key that was cut short left. begin: nothing of anybody · finish: the file system that is wanted
 * is there, and only the mark is left to be taken away
 */
export type Resume = 'begin' | 'finish' | undefined;

/** @throws VmcError 'busy', 'not-blank', 'bad-request', 'no-space'. */
export function planFormat(observed: Observed, request: FormatRequest & { resume?: Resume }): FormatStep[] {
  const { driveId, content, holders, mounts, sizeBytes } = observed;
  if (mounts.length > 0)
    throw new VmcError(
      'busy',
      `The drive ${driveId} is mounted on ${mounts.map(({ mountPoint }) => mountPoint).join(', ')}.`,
      'Close it first.',
    );
  if (holders.length > 0)
    throw new VmcError('busy', `The drive ${driveId} is in use by ${holders.join(', ')}.`, 'Close it first.');
  if (request.overwrite !== undefined && request.overwrite !== driveId)
    throw new VmcError(
      'bad-request',
      `To overwrite the drive ${driveId}, repeat its own id, not ${request.overwrite}.`,
      'Nothing was changed.',
    );
  if (request.resume === 'finish') return [{ step: 'mark-whole' }];
  if (content !== undefined && request.overwrite === undefined && request.resume === undefined)
    throw new VmcError(
      'not-blank',
      `The drive ${driveId} is not blank: it holds ${content.kind === 'luks' ? 'an encrypted drive (LUKS)' : content.description}.`,
      `All of that would be lost. If you want so, repeat the id: --overwrite ${driveId}`,
    );
  if (sizeBytes < LEAST_BYTES[request.fileSystem])
    throw new VmcError(
      'no-space',
      `The drive ${driveId} is too small for ${request.fileSystem}: it needs ${LEAST_BYTES[request.fileSystem] / MiB} MiB.`,
    );
  return [
    ...(content === undefined ? [] : [{ step: 'wipe-signatures' } as const]),
    { step: 'luks-format' },
    { step: 'luks-open' },
    { step: 'make-file-system', fileSystem: request.fileSystem },
    { step: 'luks-close' },
    { step: 'mark-whole' },
  ];
}
