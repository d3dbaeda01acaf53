/** The SFTP access that a VM gives, or why not. */
import type { SftpAccess } from '../../shared/api/tunnel.ts';
import { VmcError } from '../../shared/errors.ts';

/** @throws VmcError 'forbidden'. */
export function requireSftp(vmName: string, sftp: SftpAccess | undefined): SftpAccess {
  if (sftp !== undefined) return sftp;
  throw new VmcError(
    'forbidden',
    `The VM ${vmName} gives you no access to files.`,
    'It takes the right "files" with "upload", "download" or both: ask its owner or a manager. Or SFTP is switched off there ([sftp] in its vmc.toml).',
  );
}

export function fileRights({ upload, download }: SftpAccess): string {
  return upload && download ? 'read and write' : upload ? 'write only' : 'read only';
}
