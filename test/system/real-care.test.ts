/** Looking after drives in a real VM of its own: killed at each step, damaged, torn away, grown, trimmed. */
import t from 'tap';
import { driveCareCases } from './cases/drive-care.ts';
import { startVmSite } from './support/vm-site.ts';

t.setTimeout(2_400_000);
const site = await startVmSite();
t.teardown(site.end);
driveCareCases(t, site);
