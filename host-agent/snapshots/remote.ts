/** Where a snapshot is on the SFTP server: a folder a drive, as in the pool. */
import type { Snapshot } from '../../shared/agent-api/snapshots.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Host } from '../host.ts';
import type { SftpSettings } from './sftp-client.ts';

/** @throws VmcError 'bad-config' when host-agent.toml names no server. */
export function sftpSettings(host: Host): SftpSettings {
  const { sftp } = host.config.snapshots;
  if (sftp === undefined)
    throw new VmcError(
      'bad-config',
      'This host has no SFTP server for snapshots.',
      'Name one in snapshots.sftp of host-agent.toml, or take the target pool.',
    );
  return sftp;
}

export interface RemoteFiles {
  folder: string;
  data: string;
  /** While it is being sent. */
  partial: string;
  /** What this host knows of it, for whoever has only the server. */
  record: string;
}

export function remoteFiles(
  host: Host,
  { driveId, snapshotId }: Pick<Snapshot, 'driveId' | 'snapshotId'>,
): RemoteFiles {
  const folder = `${sftpSettings(host).folder}/${driveId}`;
  const data = `${folder}/${snapshotId}.qcow2`;
  return { folder, data, partial: `${data}.partial`, record: `${folder}/${snapshotId}.json` };
}
