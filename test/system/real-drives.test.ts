/** Drives in a real VM on a real host: their life, and what they survive. */
import t from 'tap';
import { driveLifeCases } from './cases/drive-life.ts';
import { hostDriveCases } from './cases/host-drives.ts';
import { startVmSite } from './support/vm-site.ts';

/** More than the agent keeps in reserve, and no more than a test fills quickly. */
const DRIVES_MIB = 4096;

t.setTimeout(2_400_000);
const site = await startVmSite([], { drivesMiB: DRIVES_MIB });
t.teardown(site.end);
for (const cases of [driveLifeCases, hostDriveCases]) cases(t, site);
