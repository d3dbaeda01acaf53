/** Read-only media: ISO images and NFS exports. */
import type { Config } from '../config.ts';
import { DriveTurns } from '../drives/turns.ts';
import { Isos } from './isos.ts';
import { NfsMounts } from './nfs.ts';

export interface Media {
  isos: Isos;
  nfs: NfsMounts;
}

export function openMedia(
  { drives: { mountRoot }, nfs: { servers } }: Pick<Config, 'drives' | 'nfs'>,
  onUndoFailed: (what: string, error: unknown) => void,
): Media {
  return {
    isos: new Isos(mountRoot, new DriveTurns({ onUndoFailed })),
    nfs: new NfsMounts({ servers, mountRoot, onUndoFailed }),
  };
}
