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

type Named = Pick<Snapshot, 'driveId' | 'snapshotId'>;

/** @throws VmcError 'bad-config'. */
export const remoteFiles = (host: Host, it: Named): RemoteFiles => filesIn(sftpSettings(host).folder, it);

/** For a person to look for, also when host-agent.toml names no server any more. */
export function remoteNames({ config }: Host, it: Named): string[] {
  const { sftp } = config.snapshots;
  const { data, partial, record } = filesIn(sftp === undefined ? '…' : `${sftp.server}:${sftp.folder}`, it);
  return [data, partial, record];
}

function filesIn(root: string, { driveId, snapshotId }: Named): RemoteFiles {
  const folder = `${root}/${driveId}`;
  const data = `${folder}/${snapshotId}.qcow2`;
  return { folder, data, partial: `${data}.partial`, record: `${folder}/${snapshotId}.json` };
}
