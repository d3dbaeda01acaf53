/** What the firewall lets out besides the backend, relays, DNS and DHCP: the allow list, and NFS to the servers that the site names. */
import type { Config } from '../config.ts';
import type { AllowedTarget } from './parse-target.ts';

const NFS_PORT = 2049;

export function allowedTargets({ network, nfs }: Pick<Config, 'network' | 'nfs'>): AllowedTarget[] {
  return [
    ...network.allow,
    ...nfs.servers.map((address): AllowedTarget => ({ address, port: NFS_PORT, protocol: 'tcp' })),
  ];
}
