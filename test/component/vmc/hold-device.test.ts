import { readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../../shared/run.ts';
import { findDevice, holdDevice } from '../../../vmc/drives/find-device.ts';

const driveId = 'drv0123456789abcdef';
const open = () => readdirSync('/proc/self/fd').map((fd) => linkOf(`/proc/self/fd/${fd}`));
const linkOf = (path: string) => {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
};

t.test('C7 what is meant for a drive never reaches the disk that got its name', async (t) => {
  const dir = t.testdir({ 'by-id': {} });
  const byId = join(dir, 'by-id');
  const link = join(byId, `scsi-0QEMU_QEMU_HARDDISK_${driveId}`);
  // Any disk of this machine: it is opened, and nothing of it is read.
  const [disk] = readdirSync('/sys/class/block');
  const numbers = readFileSync(`/sys/class/block/${disk}/dev`, 'utf8').trim().split(':');
  for (const name of ['sdx', 'sdy'])
    await run({ file: 'mknod', args: [join(dir, name), 'b', ...numbers], timeoutMs: 10_000 });
  symlinkSync('../sdx', link);
  const device = (await findDevice(driveId, byId)) ?? '';
  t.equal(
    await holdDevice(driveId, device, async () => open().includes(device), byId),
    true,
    'it is open while the work goes on: the kernel gives its name to no other disk',
  );
  t.notOk(open().includes(device), 'and closed afterwards');

  let worked = false;
  const work = async () => {
    worked = true;
  };
  rmSync(link);
  await t.rejects(holdDevice(driveId, device, work, byId), { code: 'wrong-state' }, 'detached; the name is of another');
  symlinkSync('../sdy', link);
  await t.rejects(holdDevice(driveId, device, work, byId), { code: 'wrong-state' }, 'attached again, by another name');
  rmSync(device);
  await t.rejects(holdDevice(driveId, device, work, byId), { code: 'wrong-state' }, 'nothing has the name');
  t.notOk(worked);
});
