/** A drive that cannot be looked at, in a /dev of the test's own: it hides no other one, and keeps none from its trim. */
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { run } from '../../../shared/run.ts';
import { Drives } from '../../../vmc/drives/drives.ts';
import { mappingNode, mappingNumber } from '../../../vmc/drives/mapping-node.ts';
import { mappingName } from '../../../vmc/drives/names.ts';
import { observe, statusOf } from '../../../vmc/drives/observe.ts';
import { findTorn, listMappedIds } from '../../../vmc/drives/torn.ts';
import { DriveTurns } from '../../../vmc/drives/turns.ts';

const MARK = 'VMC_TEST_OWN_DEV';
const sick = 'drv0123456789abcdef';
const gone = 'drvffffffffffffffff';
const torn = 'drv1111111111111111';
const killed = 'drv2222222222222222';

async function tests(): Promise<void> {
  const dev = t.testdir();
  const command = (file: string, ...args: string[]) => run({ file, args, timeoutMs: 10_000 });
  const byId = join(dev, 'disk/by-id');
  mkdirSync(byId, { recursive: true });
  // Any disk of this machine, twice: of two that claim one id none is opened.
  const [disk] = readdirSync('/sys/class/block');
  const [major = '', minor = ''] = readFileSync(`/sys/class/block/${disk}/dev`, 'utf8').trim().split(':');
  for (const name of ['sdx', 'sdy']) {
    await command('mknod', join(dev, name), 'b', major, minor);
    symlinkSync(`../../${name}`, join(byId, `scsi-0QEMU_${name}_${sick}`));
  }
  symlinkSync('../../sdz', join(byId, `scsi-0QEMU_QEMU_HARDDISK_${gone}`));
  await command('mknod', '-m', '666', join(dev, 'null'), 'c', '1', '3');
  await command('mount', '--bind', dev, '/dev');

  const drives = new Drives({
    ...{ mountRoot: t.testdirName, stateDir: t.testdirName, peopleGid: async () => 0, clock: Date.now },
    onUndoFailed: (what) => t.fail(what),
  });
  t.match(await drives.list(), [
    { driveId: sick, state: 'foreign', problem: /Two disks say that they are/ },
    { driveId: gone, state: 'absent', problem: undefined },
  ]);
  t.match(await drives.trimAll({ progress: () => {}, signal: new AbortController().signal }), [
    { driveId: sick, error: { code: 'command-failed', message: /Two disks/ } },
  ]);

  // A cryptsetup that was killed when it had made the mapping, and not yet its node.
  const sys = join(dev, 'block');
  mkdirSync(join(sys, 'sdz/holders/dm-9'), { recursive: true });
  mkdirSync(join(sys, 'dm-9/holders'), { recursive: true });
  mkdirSync(join(sys, 'dm-9/dm'));
  writeFileSync(join(sys, 'sdz/size'), '131072\n');
  writeFileSync(join(sys, 'sdz/dev'), '8:400\n');
  writeFileSync(join(sys, 'dm-9/dev'), '253:900\n');
  writeFileSync(join(sys, 'dm-9/dm/name'), `${mappingName(sick)}\n`);
  writeFileSync('/dev/sdz', Buffer.alloc(1024 * 1024));
  await command('mount', '--bind', sys, '/sys/class/block');
  const found = await observe(sick, '/dev/sdz');
  t.match(found, { holders: [mappingName(sick)], fileSystem: undefined });
  t.match(await statusOf(found), { state: 'open' }, 'so it can be closed');

  // One that was killed when it had removed the mapping, and not yet its node: the number is another drive's since.
  const other = mappingName(gone);
  const numbers = join(dev, 'numbers');
  for (const folder of ['dm', 'slaves']) mkdirSync(join(numbers, '253:901', folder), { recursive: true });
  writeFileSync(join(numbers, '253:901/dm/name'), `${other}\n`);
  symlinkSync('../../disk-that-has-gone', join(numbers, '253:901/slaves/sdq'));
  mkdirSync('/dev/mapper');
  for (const name of [mappingName(sick), other]) await command('mknod', join('/dev/mapper', name), 'b', '253', '901');
  await command('mount', '--bind', numbers, '/sys/dev/block');
  t.match(await findTorn(gone), { driveId: gone, holders: [other] });
  t.equal(await findTorn(sick), undefined);
  t.same(await listMappedIds(), [gone]);
  t.equal(await mappingNumber(other), '253:901');
  await t.rejects(mappingNode(sick), { code: 'wrong-state' });

  // Its disk was taken away while it was re-encrypted, cryptsetup crashed, and the disk was attached anew before the close.
  await command('mknod', join(dev, 'sdt'), 'b', major, minor);
  symlinkSync('../../sdt', join(byId, `scsi-0QEMU_QEMU_HARDDISK_${torn}`));
  for (const [at, name] of [mappingName(torn), `${mappingName(torn)}-overlay`].entries()) {
    const number = `253:${902 + at}`;
    for (const folder of ['dm', 'slaves']) mkdirSync(join(numbers, number, folder), { recursive: true });
    writeFileSync(join(numbers, number, 'dm/name'), `${name}\n`);
    symlinkSync('../../disk-that-has-gone', join(numbers, number, 'slaves/sdq'));
    await command('mknod', join('/dev/mapper', name), 'b', '253', `${902 + at}`);
  }
  const turns = new DriveTurns({ runFolder: join(dev, 'run'), onUndoFailed: (what) => t.fail(what) });
  const stoppable = { signal: new AbortController().signal };
  t.match(await turns.run(torn, stoppable, () => findTorn(torn)), { driveId: torn }, 'it can be closed');
  await t.rejects(
    turns.withDevice({ driveId: torn, secrets: [] }, stoppable, async () => t.fail('it was used')),
    { code: 'wrong-state', message: /taken away/ },
  );

  // cryptsetup was killed while it re-encrypted a mounted drive: the mirror of its header is gone, a piece of it hangs.
  await command('mknod', join(dev, 'sdu'), 'b', major, minor);
  symlinkSync('../../sdu', join(byId, `scsi-0QEMU_QEMU_HARDDISK_${killed}`));
  for (const [at, name] of [mappingName(killed), `${mappingName(killed)}-overlay`].entries()) {
    const number = `253:${904 + at}`;
    for (const folder of ['dm', 'slaves/sdu']) mkdirSync(join(numbers, number, folder), { recursive: true });
    writeFileSync(join(numbers, number, 'dm/name'), `${name}\n`);
    await command('mknod', join('/dev/mapper', name), 'b', '253', `${904 + at}`);
  }
  await t.rejects(
    turns.run(killed, stoppable, async () => t.fail('who unmounts or trims it waits for ever')),
    { code: 'wrong-state', message: /killed/, hint: /--force/ },
  );
}

if (process.env[MARK] === undefined)
  await t.spawn(
    'unshare',
    ['--mount', process.execPath, fileURLToPath(import.meta.url)],
    { env: { ...process.env, [MARK]: '1', TAP: '1' } },
    'with a /dev of its own',
  );
else await tests();
