/** Drives in a real VM on a real host: their care, their life, what the host gets back, and what each of them survives. */
import t from 'tap';
import { driveCareCases } from './cases/drive-care.ts';
import { driveKeyCases } from './cases/drive-keys.ts';
import { driveLifeCases } from './cases/drive-life.ts';
import { hostDriveCases } from './cases/host-drives.ts';
import { reclaimCases } from './cases/reclaim.ts';
import { startVmSite } from './support/vm-site.ts';

/** More than the agent keeps in reserve, and no more than a test fills quickly. */
const DRIVES_MIB = 4096;

t.setTimeout(2_400_000);
const site = await startVmSite([], { drivesMiB: DRIVES_MIB });
t.teardown(site.end);
for (const cases of [driveCareCases, driveKeyCases, driveLifeCases, reclaimCases, hostDriveCases]) cases(t, site);
