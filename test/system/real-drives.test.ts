/** Drives in a real VM on a real host: their life, and what they survive. */
import t from 'tap';
import { makeSshd } from '../component/host-agent/support/sshd.ts';
import { driveLifeCases } from './cases/drive-life.ts';
import { hostDriveCases } from './cases/host-drives.ts';
import { reclaimCases } from './cases/reclaim.ts';
import { startVmSite } from './support/vm-site.ts';

/** More than the agent keeps in reserve, and no more than a test fills quickly. */
const DRIVES_MIB = 4096;
const SFTP_MIB = 96;

t.setTimeout(2_400_000);
const sftp = Promise.withResolvers<string>();
const site = await startVmSite([], {
  drivesMiB: DRIVES_MIB,
  async agentSettings({ lab, network }, undo) {
    const sshd = await makeSshd({ folder: lab.folder, namespace: network.vmhost }, SFTP_MIB);
    undo.add('the SFTP server', () => sshd.remove());
    await sshd.start();
    sftp.resolve(sshd.folder);
    return sshd.settings;
  },
});
t.teardown(site.end);
driveLifeCases(t, site, await sftp.promise);
reclaimCases(t, site);
hostDriveCases(t, site);
