/** NFS mounts in the kernel's mount table. Nothing here asks a server: one that is dead must not be waited for. */
import { type NfsStatus, nfsStatusSchema, parseNfsExport } from '../../shared/api/media.ts';
import type { Mount } from '../drives/parse-mountinfo.ts';

export interface NfsMount extends NfsStatus {
  readOnly: boolean;
}

/** Those directly under the root for mounts, as vmc makes them; what others mounted in their own way is left out. */
export function nfsMountsIn(mounts: readonly Mount[], mountRoot: string): NfsMount[] {
  return mounts.flatMap(({ fileSystem, source, mountPoint, readOnly }) => {
    if (!isNfs(fileSystem) || !mountPoint.startsWith(`${mountRoot}/`)) return [];
    const name = mountPoint.slice(mountRoot.length + 1);
    const parsed = nfsStatusSchema.safeParse({ name, ...parseNfsExport(source), mountPoint });
    return parsed.success ? [{ ...parsed.data, readOnly }] : [];
  });
}

export const isNfs = (fileSystem: string): boolean => fileSystem === 'nfs' || fileSystem === 'nfs4';
