/**
 * Drives with the real cryptsetup, blkid and mkfs, as far as they go on plain files: opening a LUKS volume and mounting
 * need device-mapper, which the tests in a VM have.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { run } from '../../../shared/run.ts';
import { makeFileSystem, wipeSignatures, zeroStart } from '../../../vmc/drives/file-system.ts';
import { findDevice, listDriveIds, waitForDevice } from '../../../vmc/drives/find-device.ts';
import { describeHolders, findHolders } from '../../../vmc/drives/holders.ts';
import { inspectContent } from '../../../vmc/drives/inspect-content.ts';
import { checkKey, luksFormat } from '../../../vmc/drives/luks.ts';
import { markWhole } from '../../../vmc/drives/mark-whole.ts';
import { prepareMountPoint, removeMountPoint } from '../../../vmc/drives/mount.ts';

const MiB = 1024 * 1024;
const driveId = 'drv0123456789abcdef';

function blankFile(t: Test, sizeBytes: number): string {
  const path = join(t.testdir(), 'drive');
  writeFileSync(path, '');
  truncateSync(path, sizeBytes);
  return path;
}

t.test('C7 LUKS2 as designed; only its key fits; the key is in no argv', async (t) => {
  const size = 40 * MiB;
  const path = blankFile(t, size);
  const key = new Uint8Array(32).map((_, i) => (i * 37) % 256); // with a zero and a line feed in it
  key[5] = 0x0a;
  await luksFormat(path, key);
  const { stdout } = await run({
    file: 'cryptsetup',
    args: ['luksDump', '--dump-json-metadata', path],
    timeoutMs: 10_000,
  });
  const dump = JSON.parse(stdout);
  t.match(dump.keyslots['0'], { key_size: 64, kdf: { type: 'pbkdf2', iterations: 1000, hash: 'sha256' } });
  t.match(dump.segments['0'], { encryption: 'aes-xts-plain64', sector_size: 4096 });
  t.same(await inspectContent(path, size), { kind: 'luks', unfinished: true });
  await markWhole(path);
  t.same(await inspectContent(path, size), { kind: 'luks', unfinished: false });
  t.match(
    (await run({ file: 'cryptsetup', args: ['luksDump', path], timeoutMs: 10_000 })).stdout,
    /Label:\s+\(no label\)/,
  );
  await t.resolves(checkKey(driveId, path, key));
  for (const wrong of [key.slice(0, 31), key.slice().reverse(), new Uint8Array(32)])
    await t.rejects(checkKey(driveId, path, wrong), { code: 'wrong-key', message: new RegExp(driveId) });

  await zeroStart(path);
  t.equal(await inspectContent(path, size), undefined, 'a format that is undone leaves it blank');
});

t.test('C7 blank is blank: signatures and both ends are looked at', async (t) => {
  const size = 40 * MiB;
  const path = blankFile(t, size);
  t.equal(await inspectContent(path, size), undefined);
  const put = (at: number) => {
    const fd = openSync(path, 'r+');
    writeSync(fd, 'x', at);
  };
  put(size - 1);
  t.match(await inspectContent(path, size), { kind: 'other' }, 'one byte at the very end');
  const other = blankFile(t, size);
  writeSync(openSync(other, 'r+'), 'x', MiB - 1);
  t.match(await inspectContent(other, size), { kind: 'other' }, 'one byte in the first MiB');
  const wiped = blankFile(t, size);
  writeSync(openSync(wiped, 'r+'), 'x', 16 * MiB + 1024);
  t.match(await inspectContent(wiped, size), { kind: 'other' }, 'a drive without its header: its data are there');
  await zeroStart(wiped);
  t.equal(await inspectContent(wiped, size), undefined, 'a format that is undone leaves it blank');
  const raid = blankFile(t, size);
  writeSync(openSync(raid, 'r+'), 'Promise Technology, Inc.', size - 3087 * 512);
  t.match(await inspectContent(raid, size), { kind: 'other', description: /promise/ }, 'the furthest from the end');
  const tiny = blankFile(t, 1000);
  t.equal(await inspectContent(tiny, 1000), undefined, 'shorter than what is read');
  await t.rejects(inspectContent(join(path, 'missing'), size), /./, 'not readable is not blank');
});

t.test('C7 a LUKS drive made by hand is not blank without its first MiB', async (t) => {
  const size = 40 * MiB;
  const path = blankFile(t, size);
  const cost = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  const args = ['luksFormat', '--batch-mode', '--type', 'luks2', '--luks2-metadata-size', '4m', ...cost, path];
  await run({ file: 'cryptsetup', args: [...args, '--key-file', '-'], stdin: Buffer.from('key'), timeoutMs: 60_000 });
  writeSync(openSync(path, 'r+'), Buffer.alloc(MiB), 0, MiB, 0);
  t.match(await inspectContent(path, size), { kind: 'other' }, 'its second header is 4 MiB in');
});

t.test('C7 file systems are made and recognised; wiping forgets them', async (t) => {
  for (const [kind, size] of [
    ['ext4', 24 * MiB],
    ['xfs', 320 * MiB],
  ] as const) {
    const path = blankFile(t, size);
    await makeFileSystem(path, kind);
    t.same(await inspectContent(path, size), { kind: 'other', description: `a file system (${kind})` });
    await wipeSignatures(path);
    t.match(await inspectContent(path, size), { kind: 'other', description: 'data of a kind not known here' });
  }
  const disk = blankFile(t, 40 * MiB);
  const entry = Buffer.alloc(66);
  entry.set([0, 0, 0, 0, 0x83], 0); // one Linux partition …
  entry.writeUInt32LE(2048, 8);
  entry.writeUInt32LE(20_480, 12);
  entry.writeUInt16LE(0xaa55, 64); // … and the mark of a master boot record
  writeSync(openSync(disk, 'r+'), entry, 0, entry.length, 446);
  t.match(await inspectContent(disk, 40 * MiB), { kind: 'other', description: 'a partition table (dos)' });
});

t.test('a drive is found by its id, and waited for', async (t) => {
  const dir = t.testdir();
  const byId = join(dir, 'disk/by-id');
  const node = join(dir, 'sdx');
  await run({ file: 'mknod', args: [node, 'b', '7', '200'], timeoutMs: 10_000 }); // a name is all that is looked at
  t.same(await listDriveIds(byId), []);
  await t.rejects(waitForDevice(driveId, 50, byId), { code: 'not-found', hint: /attach/ });
  const found = waitForDevice(driveId, 5000, byId); // not even the folders are there yet
  mkdirSync(join(dir, 'disk'));
  mkdirSync(byId);
  symlinkSync('../../sdx', join(byId, `scsi-0QEMU_QEMU_HARDDISK_${driveId}`));
  t.equal(await found, node);
  symlinkSync('../../sdx', join(byId, `scsi-SQEMU_QEMU_HARDDISK_${driveId}`));
  symlinkSync('../../sdx', join(byId, `scsi-0QEMU_QEMU_HARDDISK_${driveId}-part1`));
  t.equal(await findDevice(driveId, byId), node, 'two names of one disk');
  t.same(await listDriveIds(byId), [driveId]);
  t.equal(await findDevice('drvffffffffffffffff', byId), undefined);
  await t.rejects(findDevice('../../sdx', byId), /drive id/);
  await run({ file: 'mknod', args: [join(dir, 'sdy'), 'b', '7', '201'], timeoutMs: 10_000 });
  symlinkSync('../../sdy', join(byId, `usb-fake_${driveId}`));
  await t.rejects(findDevice(driveId, byId), { code: 'bad-data', message: /Two disks/ });
  symlinkSync('../../gone', join(byId, 'x_drv1111111111111111'));
  t.equal(await findDevice('drv1111111111111111', byId), undefined, 'a link to nothing');
});

t.test('who holds a folder is named', async (t) => {
  const dir = t.testdir({ data: { file: 'x' }, data2: { file: 'x' } });
  const child = spawn('sleep', ['30'], { cwd: join(dir, 'data'), stdio: 'ignore' });
  const reader = spawn('tail', ['-f', join(dir, 'data/file')], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.teardown(() => {
    child.kill();
    reader.kill();
  });
  await once(child, 'spawn');
  await once(reader.stdout, 'data'); // it has the file open
  const holders = await findHolders(join(dir, 'data'));
  t.same(
    holders.map(({ pid, name }) => ({ pid, name })).sort((a, b) => a.pid - b.pid),
    [
      { pid: child.pid, name: 'sleep' },
      { pid: reader.pid, name: 'tail' },
    ].sort((a, b) => (a.pid ?? 0) - (b.pid ?? 0)),
  );
  t.match(describeHolders(holders), new RegExp(`sleep \\(pid ${child.pid}\\)`));
  t.same(await findHolders(join(dir, 'data2')), []);
});

t.test('mount points: made or empty, never taken from somebody else', async (t) => {
  const dir = t.testdir({ full: { file: '' }, file: '', empty: {}, link: t.fixture('symlink', 'empty') });
  t.equal(await prepareMountPoint(join(dir, 'new')), true);
  t.equal(await prepareMountPoint(join(dir, 'new')), false);
  for (const [name, message] of [
    ['full', /not empty/],
    ['file', /not a folder/],
    ['link', /not a folder/],
  ] as const)
    await t.rejects(prepareMountPoint(join(dir, name)), { code: 'already-exists', message });
  await t.rejects(prepareMountPoint('/proc'), { message: /something mounted/ });
  await removeMountPoint(join(dir, 'new'));
  await removeMountPoint(join(dir, 'full'));
  await removeMountPoint(join(dir, 'missing'));
  t.same(readdirSync(dir).sort(), ['empty', 'file', 'full', 'link']);
  t.equal(readFileSync(join(dir, 'full/file'), 'utf8'), '');
  rmSync(join(dir, 'empty'), { recursive: true });
});
