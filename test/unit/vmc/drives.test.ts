import fc from 'fast-check';
import t from 'tap';
import { mountOptions } from '../../../vmc/drives/mount.ts';
import type { Observed } from '../../../vmc/drives/observe.ts';
import { parseBlkid } from '../../../vmc/drives/parse-blkid.ts';
import { driveIdOfLink } from '../../../vmc/drives/parse-links.ts';
import { parseMountinfo } from '../../../vmc/drives/parse-mountinfo.ts';
import { parseTrimmedBytes } from '../../../vmc/drives/parse-tools.ts';
import { planFormat } from '../../../vmc/drives/plan-format.ts';
import { planOpen } from '../../../vmc/drives/plan-open.ts';

const driveId = 'drv0123456789abcdef';
const GiB = 1024 ** 3;
const blank: Observed = {
  driveId,
  device: '/dev/sdb',
  sizeBytes: 2 * GiB,
  content: undefined,
  holders: [],
  mounts: [],
  fileSystem: undefined,
};
const locked: Observed = { ...blank, content: { kind: 'luks', unfinished: false } };
const foreign: Observed = { ...blank, content: { kind: 'other', description: 'a file system (ext4)' } };
const mapped: Observed = { ...locked, holders: [`vmc-${driveId}`] };
const mounted: Observed = { ...mapped, mounts: [{ mountPoint: '/mnt/data', readOnly: false, fileSystem: 'ext4' }] };
const steps = (observed: Observed, overwrite?: string) =>
  planFormat(observed, { driveId, fileSystem: 'ext4', overwrite }).map(({ step }) => step);

t.test('C7 format: blank drives only, unless the id is repeated', async (t) => {
  const all = ['luks-format', 'luks-open', 'make-file-system', 'luks-close', 'mark-whole'];
  t.same(steps(blank), all);
  t.same(steps(blank, driveId), all);
  t.same(steps(foreign, driveId), ['wipe-signatures', ...all]);
  t.same(steps(locked, driveId), ['wipe-signatures', ...all], 'also after a format that was cut short');
  t.throws(() => steps(foreign), { code: 'not-blank', message: /a file system \(ext4\)/, hint: new RegExp(driveId) });
  t.throws(() => steps(locked), { code: 'not-blank', message: /LUKS/ });
  t.throws(() => steps(foreign, 'drvffffffffffffffff'), { code: 'bad-request' });
  t.throws(() => steps(mounted, driveId), { code: 'busy', message: /\/mnt\/data/ });
  t.throws(() => steps(mapped, driveId), { code: 'busy' });
  t.throws(() => steps({ ...blank, sizeBytes: 16 * 1024 ** 2 }), { code: 'no-space' });
  t.throws(() => planFormat({ ...blank, sizeBytes: 0.3 * GiB }, { driveId, fileSystem: 'xfs' }), { code: 'no-space' });
});

t.test('whatever is mounted or mapped is never formatted', async () => {
  fc.assert(
    fc.property(
      fc.constantFrom(blank, locked, foreign),
      fc.constantFrom(mapped, mounted),
      fc.option(fc.constant(driveId), { nil: undefined }),
      (base, used, overwrite) => {
        try {
          steps({ ...used, content: base.content }, overwrite);
          return false;
        } catch {
          return true;
        }
      },
    ),
  );
});

t.test('C7 open', async (t) => {
  const request = { driveId, mountPoint: '/mnt/data', readOnly: false };
  t.equal(planOpen(locked, request), 'open');
  t.equal(planOpen(mapped, request), 'reopen', 'a crash left a mapping');
  t.equal(planOpen(mounted, request), 'already');
  t.throws(() => planOpen(mounted, { ...request, readOnly: true }), { code: 'wrong-state' });
  t.throws(() => planOpen(mounted, { ...request, mountPoint: '/mnt/other' }), { code: 'wrong-state' });
  t.throws(() => planOpen(blank, request), { code: 'wrong-state', message: /blank/, hint: /format/ });
  t.throws(() => planOpen(foreign, request), { code: 'wrong-state', message: /ext4/, hint: /header restore/ });
  t.throws(() => planOpen({ ...locked, holders: ['md0'] }, request), { code: 'busy', message: /md0/ });
});

t.test('mount options', async (t) => {
  t.equal(mountOptions('ext4', false), 'nodev,nosuid,rw,errors=remount-ro');
  t.equal(mountOptions('ext4', true), 'nodev,nosuid,ro,noload');
  t.equal(mountOptions('xfs', true), 'nodev,nosuid,ro,norecovery,nouuid');
  t.equal(mountOptions('xfs', false), 'nodev,nosuid,rw,nouuid', 'also beside the drive that it was restored from');
  t.equal(mountOptions('btrfs', true), 'nodev,nosuid,ro,rescue=nologreplay');
  t.equal(mountOptions('btrfs', false), 'nodev,nosuid,rw,nodiscard');
});

t.test('only whole disks whose serial is a drive id', async (t) => {
  t.equal(driveIdOfLink(`scsi-0QEMU_QEMU_HARDDISK_${driveId}`), driveId);
  for (const other of [
    `scsi-0QEMU_QEMU_HARDDISK_${driveId}-part1`,
    `x_${driveId}0`,
    `x_a${driveId}`,
    'wwn-0x5',
    driveId,
  ])
    t.equal(driveIdOfLink(other), undefined, other);
});

t.test('what tools print', async (t) => {
  t.same(
    parseMountinfo(
      '36 35 253:0 /sub /mnt/a\\040b rw,nosuid - ext4 /dev/mapper/x rw\n37 35 8:1 / /b ro - xfs /dev/sda1 rw\nbad line\n',
    ),
    [
      {
        device: '253:0',
        root: '/sub',
        mountPoint: '/mnt/a b',
        readOnly: false,
        fileSystem: 'ext4',
        source: '/dev/mapper/x',
      },
      { device: '8:1', root: '/', mountPoint: '/b', readOnly: true, fileSystem: 'xfs', source: '/dev/sda1' },
    ],
  );
  t.same(parseBlkid('DEVNAME=/dev/sdb\nTYPE=ext4\nUSAGE=filesystem\n'), {
    type: 'ext4',
    description: 'a file system (ext4)',
  });
  t.same(parseBlkid('TYPE=crypto_LUKS\nUSAGE=crypto\n')?.type, 'crypto_LUKS');
  t.match(parseBlkid('PTTYPE=gpt\nPTUUID=1\n'), { description: 'a partition table (gpt)' });
  t.equal(parseBlkid(''), undefined);
  t.equal(parseTrimmedBytes('/mnt/data: 1.9 GiB (2040109465 bytes) trimmed\n'), 2040109465);
  t.equal(parseTrimmedBytes('nonsense'), undefined);
});
