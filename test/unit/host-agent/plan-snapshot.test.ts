/** What a snapshot builds on: incremental only when that is certain. */
import t from 'tap';
import { parseBitmaps } from '../../../host-agent/snapshots/parse-bitmaps.ts';
import { parseJob } from '../../../host-agent/snapshots/parse-job.ts';
import {
  chainOf,
  MAX_CHAIN,
  planSnapshot,
  superfluous,
  type Wanted,
} from '../../../host-agent/snapshots/plan-snapshot.ts';
import type { Snapshot } from '../../../shared/agent-api/snapshots.ts';

const id = (n: number) => `snap-${n.toString(16).padStart(16, '0')}`;
const snapshot = (n: number, parent?: number, rest: Partial<Snapshot> = {}): Snapshot => ({
  snapshotId: id(n),
  driveId: 'drv0000000000000001',
  kind: parent === undefined ? 'full' : 'incremental',
  ...(parent === undefined ? {} : { parentId: id(parent) }),
  target: 'pool',
  sizeBytes: 100,
  storedBytes: 10,
  sha256: 'ab'.repeat(32),
  takenAt: n,
  ...rest,
});
const wanted: Wanted = { kind: 'auto', target: 'pool', format: 'qcow2', sizeBytes: 100 };
const yes = async () => true;
const chain = (length: number) => Array.from({ length }, (_, i) => snapshot(i + 1, i === 0 ? undefined : i));

t.test('incremental on the newest, when the file has its bitmap', async (t) => {
  const asked: string[] = [];
  const plan = await planSnapshot(wanted, chain(3), async (it) => asked.push(it) > 0);
  t.strictSame(plan, { kind: 'incremental', parentId: id(3) });
  t.strictSame(asked, [id(3)], 'older ones are not looked for');
});

for (const [name, change, existing, hasBitmap, because] of [
  ['a raw file', { format: 'raw' }, chain(1), yes, /raw/],
  ['nothing before', {}, [], yes, /none yet/],
  ['no bitmap', {}, chain(2), async () => false, /certain/],
  ['another target', { target: 'sftp' }, chain(1), yes, /another target/],
  ['a drive that was larger', { sizeBytes: 99 }, chain(1), yes, /larger/],
  ['a chain with a gap', {}, chain(3).slice(1), yes, /missing/],
  ['a long chain', {}, chain(MAX_CHAIN), yes, /the most there may be/],
] as const)
  t.test(`${name}: auto is full and says why, incremental is refused`, async (t) => {
    t.match(await planSnapshot({ ...wanted, ...change }, existing, hasBitmap), { kind: 'full', fullBecause: because });
    await t.rejects(planSnapshot({ ...wanted, ...change, kind: 'incremental' }, existing, hasBitmap), {
      code: 'wrong-state',
      message: because,
    });
    t.strictSame(await planSnapshot({ ...wanted, ...change, kind: 'full' }, existing, hasBitmap), { kind: 'full' });
  });

t.test('a chain: the full one first; records that lead in a circle or nowhere are refused', async (t) => {
  t.strictSame(chainOf([...chain(3), snapshot(9)], id(3)), chain(3));
  t.throws(() => chainOf(chain(3), id(7)), { code: 'not-found' });
  t.throws(() => chainOf([snapshot(1, 2), snapshot(2, 1)], id(1)), { code: 'bad-data' });
  t.throws(() => chainOf([snapshot(1, undefined, { kind: 'incremental' })], id(1)), { code: 'bad-data' });
});

t.test('what the newest do not need, in an order in which it can go', async (t) => {
  const all = [snapshot(1), snapshot(2, 1), snapshot(3), snapshot(4, 3), snapshot(5, 4)];
  t.strictSame(superfluous(all, 1), [id(2), id(1)]);
  t.strictSame(superfluous(all, 3), [id(2), id(1)]);
  t.strictSame(superfluous(all, 4), [], 'half a chain is no chain');
});

t.test('bitmaps: those of snapshots, sound only when switched on and closed in order', async (t) => {
  const bitmaps = [
    { name: id(1), flags: ['auto'] },
    { name: id(2), flags: ['in-use', 'auto'] },
    { name: id(3), flags: [] },
    { name: 'theirs', flags: ['auto'] },
  ];
  t.strictSame(parseBitmaps(JSON.stringify({ 'format-specific': { data: { bitmaps } } })), [
    { snapshotId: id(1), sound: true },
    { snapshotId: id(2), sound: false },
    { snapshotId: id(3), sound: false },
  ]);
  t.strictSame(parseBitmaps('{}'), []);
  t.throws(() => parseBitmaps('no'), { code: 'bad-data' });
});

t.test('domjobinfo: only a backup that says that it succeeded has', async (t) => {
  t.match(parseJob('Job type: 2\n\noperation: 9\ndisk_total: 10\ndisk_processed: 4\n'), {
    state: 'running',
    backup: true,
    doneBytes: 4,
    totalBytes: 10,
  });
  t.match(parseJob('Job type: 0\n'), { state: 'none' });
  t.match(parseJob('Job type: 3\noperation: 9\nsuccess: 1\n'), { state: 'completed', backup: true });
  t.match(parseJob('Job type: 3\noperation: 2\nsuccess: 1\n'), { backup: false });
  t.match(parseJob('Job type: 3\noperation: 9\nsuccess: 0\nerrmsg: no: space\n'), {
    state: 'failed',
    problem: 'no: space',
  });
  t.match(parseJob('what is this?'), { state: 'failed' });
});
