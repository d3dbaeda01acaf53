/** `ssh -L`: OpenSSH's own tunnel, one connection for all streams. */
import { startProcess } from '../../lab/process.ts';
import { oncePerSite } from '../once-per-site.ts';
import { AES_256_GCM, freePort, type Sshd, sshOptions, startSshd } from '../openssh.ts';
import { fileIn, type Site } from '../site.ts';
import { startLoad } from './load.ts';
import type { Peer } from './peer.ts';

export const sshGcmServer = oncePerSite((site) => startSshd(site, { name: 'ssh-gcm', cipher: AES_256_GCM }));
export const sshGcm = oncePerSite(async (site) => forward(site, 'ssh-gcm', await sshGcmServer(site)));
/** The cipher that both prefer. */
export const sshDefault = oncePerSite(async (site) => {
  return forward(site, 'ssh-default', await startSshd(site, { name: 'ssh-default' }));
});

/** @param server with another port when something is in between. */
export async function forward(site: Site, name: string, server: Sshd): Promise<Peer> {
  const { servicePort } = await startLoad(site);
  const port = await freePort();
  const options = ['ExitOnForwardFailure=yes', 'PermitLocalCommand=yes', 'LocalCommand=echo forwarding'];
  const client = await startProcess({
    lab: site.lab,
    name: `${name}-client`,
    argv: [
      'ssh',
      ...sshOptions(server),
      ...options.flatMap((option) => ['-o', option]),
      '-N',
      '-L',
      `127.0.0.1:${port}:127.0.0.1:${servicePort}`,
      '127.0.0.1',
    ],
    logFile: fileIn(site, `${name}-client.log`),
  });
  site.undo.add(`${name}-client`, () => client.stop());
  await client.waitForLine(/^forwarding/, 20_000);
  return { port, server: [server.pid], client: [client.pid] };
}
