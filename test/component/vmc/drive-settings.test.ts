/** What vmc remembers of a drive: settings, which survive a boot, and what is frozen, which does not. */
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { run } from '../../../shared/run.ts';
import { waitUntilGone } from '../../../vmc/drives/find-device.ts';
import { listFrozen, readFrozen, removeFrozen, writeFrozen } from '../../../vmc/drives/frozen.ts';
import { mountsOf, numberOf } from '../../../vmc/drives/mounts-of.ts';
import { readSettings, writeSettings } from '../../../vmc/drives/settings.ts';

const driveId = 'drv0123456789abcdef';

t.test('settings: what is usual takes no file; what is damaged is said; no other name than a drive id', async (t) => {
  const dir = t.testdir();
  t.same(await readSettings(dir, driveId), { weeklyTrim: true });
  await writeSettings(dir, driveId, { weeklyTrim: false });
  t.same(await readSettings(dir, driveId), { weeklyTrim: false });
  t.same(await readSettings(dir, 'drvffffffffffffffff'), { weeklyTrim: true }, 'of one drive alone');
  await writeSettings(dir, driveId, { weeklyTrim: true });
  t.same(readdirSync(join(dir, 'drives')), []);
  writeFileSync(join(dir, 'drives', `${driveId}.json`), '{"version":1,"weeklyTrim":"no"}');
  await t.rejects(readSettings(dir, driveId), { code: 'bad-data', hint: /Remove/ });
  await t.rejects(readSettings(dir, '../../etc/passwd'), /drive id/);
});

t.test('what is frozen', async (t) => {
  const dir = join(t.testdir(), 'run');
  t.same(await listFrozen(dir), []);
  t.equal(await readFrozen(dir, driveId), undefined);
  await writeFrozen(dir, driveId, { mountPoint: '/mnt/data', until: 17 });
  writeFileSync(join(dir, 'x.frozen'), '');
  writeFileSync(join(dir, `${driveId}.lock`), '');
  t.same(await readFrozen(dir, driveId), { mountPoint: '/mnt/data', until: 17 });
  t.same(await listFrozen(dir), [driveId]);
  await removeFrozen(dir, driveId);
  await removeFrozen(dir, driveId);
  t.same(await listFrozen(dir), []);
});

t.test('waiting for a device to go', async (t) => {
  const dir = t.testdir();
  const byId = join(dir, 'by-id');
  const signal = new AbortController().signal;
  t.equal(await waitUntilGone(driveId, 0, signal, byId), true, 'it is not there');
  mkdirSync(byId);
  await run({ file: 'mknod', args: [join(dir, 'sdx'), 'b', '7', '200'], timeoutMs: 10_000 });
  const link = join(byId, `scsi-0QEMU_QEMU_HARDDISK_${driveId}`);
  symlinkSync('../sdx', link);
  t.equal(await waitUntilGone(driveId, 50, signal, byId), false, 'it stays');
  const stop = new AbortController();
  const stopped = waitUntilGone(driveId, 60_000, stop.signal, byId);
  stop.abort(new Error('enough'));
  await t.rejects(stopped, /enough/);
  const gone = waitUntilGone(driveId, 60_000, signal, byId);
  await setImmediate();
  rmSync(link);
  t.equal(await gone, true);
});

t.test('mounts of a device: a btrfs is known by the name of its device', async (t) => {
  const dir = t.testdir();
  const path = join(dir, 'dm');
  await run({ file: 'mknod', args: [path, 'b', '253', '300'], timeoutMs: 10_000 });
  t.equal(await numberOf(path), '253:300');
  t.equal(await numberOf(dir), undefined);
  const line = (device: string, at: string, kind: string, source: string) =>
    `36 35 ${device} / ${at} rw,nosuid - ${kind} ${source} rw\n`;
  const table =
    line('253:300', '/mnt/a', 'ext4', '/dev/x') +
    line('0:50', '/mnt/b', 'btrfs', path) +
    line('253:300', '/mnt/c', 'btrfs', join(dir, 'gone')) +
    line('253:1', '/mnt/d', 'xfs', path);
  t.same(
    (await mountsOf(table, ['253:300'])).map(({ mountPoint }) => mountPoint),
    ['/mnt/a', '/mnt/b'],
  );
});
