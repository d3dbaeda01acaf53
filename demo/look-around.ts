/** What `--keep` leaves running, and the commands with which a person can look at it. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Site } from '../lab/site.ts';

export async function lookAround(site: Site): Promise<string> {
  const user = site.person('ada');
  // The passphrase of a demo's identity: it protects nothing that outlives the demo.
  const passphrase = join(site.folders.user, 'passphrase');
  await writeFile(passphrase, user.passphrase, { mode: 0o600 });
  const connect = (...args: string[]) => `${quote(user.argv(args))} 3<${passphrase}`;
  const agentConfig = join(site.folders.agent, 'host-agent.toml');
  return `
Everything is still running, until \`npm run demo -- --clean\` or the next run. To look around:

  # the user's device
  ${connect('vm', 'list')}
  ${connect('vm', 'info', 'lab')}
  ${connect('drive', 'list')}
  ${connect('tunnel', 'lab', '8080:18080')} &
  ip netns exec ${site.network.user} curl http://127.0.0.1:18080/

  # the VM host
  virsh --connect '${site.libvirt.uri}' list
  ${quote([...site.libvirt.enter, 'bin/host-agent', 'doctor', '--config', agentConfig])}
  ${quote([...site.libvirt.enter, 'bin/host-agent', 'firewall', 'show', '--config', agentConfig])}
  ${quote([...site.libvirt.enter, 'iptables-save'])}

  # logs, pools, consoles
  ls ${site.lab.folder}
  ls ${site.folders.logs} ${join(site.folders.agent, 'state', 'console')}
`;
}

function quote(argv: readonly string[]): string {
  return argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}
