/** A drive that was closed to be detached is opened by nobody: for a minute, and of the same disk only. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { LEAVING_SECONDS, markLeaving, requireStaying } from '../../../vmc/drives/leaving.ts';

const driveId = 'drv0123456789abcdef';
const [first = '', second = ''] = readdirSync('/sys/class/block'); // any two disks of this machine

t.test('C7: refused for a minute', async (t) => {
  const folder = join(t.testdir(), 'run');
  await requireStaying(folder, driveId, first, 100);
  await markLeaving(folder, driveId, first, 100);
  for (const now of [100, 100 + LEAVING_SECONDS - 0.1])
    await t.rejects(requireStaying(folder, driveId, first, now), { code: 'busy', hint: /in a minute/ });
  await requireStaying(folder, driveId, first, 100 + LEAVING_SECONDS);
  await markLeaving(folder, driveId, first, 200);
  await t.rejects(requireStaying(folder, driveId, first, 201), { code: 'busy' }, 'asked once more');
});

t.test('C7: another disk under its id, as when it was attached anew, is opened; so is another drive', async (t) => {
  const folder = t.testdir();
  await markLeaving(folder, driveId, first);
  await t.rejects(requireStaying(folder, driveId, first), { code: 'busy' });
  await requireStaying(folder, driveId, second);
  await requireStaying(folder, 'drvffffffffffffffff', first);
  await requireStaying(folder, 'iso00000000000000ff', first); // an image's turn is asked about in the same way
  writeFileSync(join(folder, `${driveId}.leaving`), '{"until":');
  await t.rejects(requireStaying(folder, driveId, second), { code: 'bad-data' });
});
