/** A folder (0700) for as long as a command runs: the VM's SSH host key, the person's public key, and the agent's socket. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SftpAccess } from '../../shared/api/tunnel.ts';
import { openSshPublicKey } from '../../shared/identity/fingerprint.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import { sign } from '../../shared/identity/native.ts';
import { openSshBlob } from '../../shared/identity/ssh-form.ts';
import { startAgent } from './agent.ts';
import { type SshPlace, sshConfig } from './ssh-options.ts';

/** Lends the place to `use`, and removes it whatever happens. @param under an own folder of the person, or /tmp. */
export async function withSshPlace<T>(
  under: string,
  { identity, vmId, port, sftp }: { identity: Identity; vmId: string; port: number; sftp: SftpAccess },
  use: (place: SshPlace) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(under, 'vmc-connect-')); // 0700
  try {
    const place = {
      agentSocket: join(folder, 'agent'),
      knownHosts: join(folder, 'known_hosts'),
      publicKey: join(folder, 'identity.pub'),
      config: join(folder, 'ssh_config'),
      alias: vmId,
    };
    await writeFile(place.config, sshConfig(place), { mode: 0o600 });
    const { ed25519 } = identity.public;
    await writeFile(place.knownHosts, `${vmId},[127.0.0.1]:${port} ${sftp.hostKey}\n`, { mode: 0o600 });
    await writeFile(place.publicKey, `${openSshPublicKey(ed25519, sftp.user)}\n`, { mode: 0o600 });
    const key = { blob: openSshBlob(ed25519), user: sftp.user };
    const agent = await startAgent(place.agentSocket, key, (data) => sign(data, identity.secret.ed25519));
    try {
      return await use(place);
    } finally {
      await agent.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
