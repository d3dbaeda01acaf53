/**
 * What must hold in a real VM, on a real host, when people do what they should not, or things break. One VM for all of it:
 * its boot and the site around it take most of a minute. The cases run in this order.
 */
import t from 'tap';
import { driveKeyCases } from './cases/drive-keys.ts';
import { driveCases } from './cases/drives.ts';
import { fileCases } from './cases/files.ts';
import { isolationCases } from './cases/isolation.ts';
import { mediaCases } from './cases/media.ts';
import { peopleCases } from './cases/people.ts';
import { restartCases } from './cases/restart.ts';
import { tunnelCases } from './cases/tunnel.ts';
import { startVmSite } from './support/vm-site.ts';

t.setTimeout(2_400_000);
const site = await startVmSite();
t.teardown(site.end);
for (const cases of [
  mediaCases,
  driveCases,
  driveKeyCases,
  fileCases,
  peopleCases,
  tunnelCases,
  isolationCases,
  restartCases,
])
  cases(t, site);
