/** The pure parts of looking after a drive: pieces of a trim, room to grow, what a superblock tells, what tools print. */
import fc from 'fast-check';
import t from 'tap';
import { armArgs } from '../../../vmc/drives/freeze.ts';
import { isDirty, isUnfinished, withoutLabel } from '../../../vmc/drives/parse-state.ts';
import { SUPERBLOCK_BYTES } from '../../../vmc/drives/parse-superblock.ts';
import { lastWords, parseGroupBytes, parseXfsLogDirty } from '../../../vmc/drives/parse-tools.ts';
import { type FormatRequest, planFormat, type Resume } from '../../../vmc/drives/plan-format.ts';
import { canGrow, canResizeBtrfs } from '../../../vmc/drives/plan-grow.ts';
import { planOpen } from '../../../vmc/drives/plan-open.ts';
import { planTrim } from '../../../vmc/drives/plan-trim.ts';

const driveId = 'drv0123456789abcdef';
const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

t.test('the pieces of a trim cover all of the file system once, and are not too many', async () => {
  fc.assert(
    fc.property(
      fc.constantFrom('ext4', 'xfs', 'btrfs'),
      fc.integer({ min: 1, max: 64 * 1024 * 1024 }),
      fc.integer({ min: 1, max: 1024 * 1024 }),
      (fileSystem, sizeMiB, groupMiB) => {
        const ranges = planTrim(fileSystem as 'ext4', sizeMiB * MiB, groupMiB * MiB);
        let at = 0;
        for (const [i, { offset, length }] of ranges.entries()) {
          if (offset !== at || (length === undefined) !== (i === ranges.length - 1)) return false;
          if (length !== undefined && length % (groupMiB * MiB) !== 0) return false;
          at = offset + (length ?? 0);
        }
        return ranges.length >= 1 && ranges.length <= 257 && at < Math.max(1, sizeMiB * MiB);
      },
    ),
  );
});

t.test('a btrfs is trimmed in one piece; what is small, too', async (t) => {
  t.same(planTrim('btrfs', 4096 * GiB), [{ offset: 0, length: undefined }]);
  t.same(planTrim('ext4', 100 * MiB), [{ offset: 0, length: undefined }]);
  t.same(planTrim('xfs', 3 * GiB, 768 * MiB), [
    { offset: 0, length: 1536 * MiB },
    { offset: 1536 * MiB, length: undefined },
  ]);
});

t.test('growth: the device less the header, in sectors of 4 KiB; a smaller device is refused', async (t) => {
  const header = 16 * MiB;
  t.equal(canGrow(driveId, header + 8192, 4096), true);
  t.equal(canGrow(driveId, header + 8192, 8192), false);
  t.equal(canGrow(driveId, header + 8192 + 4095, 8192), false, 'less than a sector');
  t.throws(() => canGrow(driveId, header + 8191, 8192), { code: 'wrong-state', message: /smaller/ });
});

t.test(
  'a btrfs grows to 256 MiB or more; a smaller one stays as it is, and is refused what it cannot have',
  async (t) => {
    t.equal(canResizeBtrfs(driveId, 272 * MiB, 112 * MiB), true);
    t.equal(canResizeBtrfs(driveId, 128 * MiB, 112 * MiB), false, 'it takes all of its disk');
    t.throws(() => canResizeBtrfs(driveId, 272 * MiB - 4096, 112 * MiB), {
      code: 'wrong-state',
      hint: /connect drive grow drv0123456789abcdef --size 272MiB/,
    });
  },
);

t.test('a format of the same key that was cut short goes on, without the id', async (t) => {
  const luks = {
    ...{ driveId, device: '/dev/sdb', sizeBytes: GiB, holders: [], mounts: [], fileSystem: undefined },
    content: { kind: 'luks' as const, unfinished: true },
  };
  const steps = (resume: Resume, more: Partial<FormatRequest> = {}) =>
    planFormat(luks, { driveId, fileSystem: 'ext4', resume, ...more }).map(({ step }) => step);
  t.throws(() => steps(undefined), { code: 'not-blank' }, 'the label alone is the host’s word');
  t.equal(steps('begin')[0], 'wipe-signatures');
  t.same(steps('finish'), ['mark-whole'], 'a file system that is whole stays');
  t.equal(steps(undefined, { overwrite: driveId })[0], 'wipe-signatures');
});

t.test('what is mounted is not repaired', async (t) => {
  const mounted = {
    ...{ driveId, device: '/dev/sdb', sizeBytes: GiB, holders: [`vmc-${driveId}`], fileSystem: 'ext4' },
    content: { kind: 'luks' as const, unfinished: false },
    mounts: [{ mountPoint: '/mnt/data', readOnly: false, fileSystem: 'ext4' }],
  };
  const request = { driveId, mountPoint: '/mnt/data', readOnly: false };
  t.equal(planOpen(mounted, request), 'already');
  t.throws(() => planOpen(mounted, { ...request, repair: true }), { code: 'wrong-state' });
});

t.test('the state of a file system, from its superblock', async (t) => {
  const ext4 = Buffer.alloc(SUPERBLOCK_BYTES);
  ext4.writeUInt16LE(1, 1024 + 58);
  t.equal(isDirty('ext4', ext4), false);
  ext4.writeUInt32LE(0x2c6, 1024 + 96);
  t.equal(isDirty('ext4', ext4), true, 'the journal is not played');
  ext4.writeUInt32LE(0x2c2, 1024 + 96);
  t.equal(isDirty('ext4', ext4), false);
  for (const state of [0, 2, 3, 4, 5]) {
    ext4.writeUInt16LE(state, 1024 + 58);
    t.equal(isDirty('ext4', ext4), true, `state ${state}`);
  }
  const btrfs = Buffer.alloc(SUPERBLOCK_BYTES);
  t.equal(isDirty('btrfs', btrfs), false);
  btrfs.writeUInt8(1, 64 * 1024 + 96 + 5);
  t.equal(isDirty('btrfs', btrfs), true);
  const xfs = Buffer.alloc(SUPERBLOCK_BYTES);
  t.equal(isDirty('xfs', xfs), undefined, 'it does not say');
  xfs[126] = 1;
  t.equal(isDirty('xfs', xfs), true, 'mkfs did not come to its end');
});

t.test('the label of a drive that is being formatted', async (t) => {
  const binary = Buffer.alloc(4096);
  binary.writeBigUInt64BE(7n, 16);
  t.notOk(isUnfinished(binary));
  binary.write('vmc-formatting', 24, 'latin1');
  t.ok(isUnfinished(binary));
  const next = withoutLabel(binary);
  t.notOk(isUnfinished(next));
  t.equal(Buffer.from(next).readBigUInt64BE(16), 8n, 'newer than the other copy');
  t.ok(isUnfinished(binary), 'what it was made of stays');
  binary.write('vmc-formatting-not', 24, 'latin1');
  t.notOk(isUnfinished(binary));
});

t.test('what tools print', async (t) => {
  t.equal(
    parseGroupBytes('statfs.f_bsize = 512\ngeom.bsize = 4096\ngeom.agcount = 4\ngeom.agblocks = 24576\n'),
    100663296,
  );
  t.equal(parseGroupBytes('geom.bsize = 4096\n'), undefined);
  const log = (state: string) =>
    `xfs_logprint:\n    data device: 0xfe00\n\n    log tail: 8 head: 40 state: <${state}>\n\n`;
  t.equal(parseXfsLogDirty(log('CLEAN')), false);
  t.equal(parseXfsLogDirty(log('DIRTY')), true);
  t.equal(parseXfsLogDirty(''), undefined);
  const words = lastWords(`${'line\n'.repeat(50)}\x1b[31m${'x'.repeat(500)}\n\n`);
  t.equal(words.length, 20);
  t.ok(words.every((line) => line.length <= 210 && !line.includes('\x1b')));
});

t.test('the thaw is tried until something was thawed, and for no longer than it can be needed', async (t) => {
  const args = armArgs(driveId, '/mnt/data', 10);
  t.same(args.slice(-4), ['--', '/usr/sbin/fsfreeze', '--unfreeze', '/mnt/data']);
  t.ok(args.includes('--on-active=10s') && args.includes('--property=Restart=on-failure'));
  t.ok(args.includes('--property=StartLimitBurst=120'));
});
