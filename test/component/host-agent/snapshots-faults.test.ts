/** H8, H9: snapshots that are cut short, cancelled or fail leave nothing, at any step. */
import { readdir } from 'node:fs/promises';
import t from 'tap';
import { FAULT_POINTS } from '../../../host-agent/fault-points.ts';
import { makeSnapshotBox, sameWhenRestored } from './support/snapshot-box.ts';

const A = 'vm-aaaaaaaaaaaa';
const [D, RAW, BIG, NEW] = ['drv0000000000000001', 'drv0000000000000002', 'drv0000000000000003', 'drv00000000000000ff'];
const id = (n: number) => `snap-${n.toString(16).padStart(16, '0')}`;

t.setTimeout(600_000);

t.test('H8 H9: snapshots that do not go well', async (t) => {
  const box = await makeSnapshotBox();
  t.teardown(() => box.remove());
  await box.vm(A);
  const drive = await box.drive(D);
  await box.json(['drive', 'attach', D, A]);
  await drive.io(A, 'write -P 17 0 4M');
  let last = 0;
  const next = () => id(++last);
  const reached = new Set<string>();
  const until = async (how: Parameters<typeof box.until>[0], point: string, ...args: string[]) => {
    const result = await box.until(how, point, ...args);
    t.match(result.stdout, 'reached', `${point} is reached`);
    reached.add(point);
    return result;
  };
  /** Nothing but these snapshots; the bitmap of the newest is what the drive has. */
  const holds = async (pool: readonly string[], bitmaps: readonly string[], what: string) => {
    const files = pool.flatMap((it) => [`${it}.json`, `${it}.qcow2`]).sort();
    t.strictSame(
      await box.leftovers(A, D),
      { checkpoints: [], bitmaps, files, pool: [], notes: [], temporary: [], sockets: [] },
      what,
    );
  };
  const creating = FAULT_POINTS.filter((it) => it.startsWith('snapshot.create:') && it !== 'snapshot.create:upload');
  /** Until then a person can change their mind. */
  const cancellable = ['snapshot.create:begin', 'snapshot.create:copying', 'snapshot.create:name'];

  const base = next();
  await box.snapshot(D, '--id', base);
  const kept = [base];

  for (const state of ['running', 'off'])
    await t.test(`killed at each step, or cancelled; the VM is ${state}`, async (t) => {
      if (state === 'off') await box.virsh('destroy', A);
      for (const point of creating) {
        const snapshotId = next();
        await until('kill', point, 'create', D, snapshotId, 'pool');
        const found = JSON.stringify(await box.json(['reconcile']));
        if (point === 'snapshot.create:intent') t.equal(found, '[]', 'nothing had been begun');
        else t.match(found, snapshotId);
        if (point === 'snapshot.create:tidy') kept.push(snapshotId);
        await holds(kept, kept.slice(-1), `${point}, killed`);
      }
      for (const point of cancellable) {
        const { stderr } = await until('cancel', point, 'create', D, next(), 'pool');
        t.match(stderr, /cancelled/);
        await holds(kept, kept.slice(-1), `${point}, cancelled`);
      }
      const newest = next();
      t.match(await box.snapshot(D, '--id', newest), { kind: 'incremental', parentId: kept.at(-1) });
      kept.push(newest);
      if (state === 'off') await box.json(['vm', 'start', A]);
    });

  await t.test('while the copy is under way: cancelled, killed, the VM switched off', async (t) => {
    const big = await box.drive(BIG, 'qcow2', '768MiB');
    await box.json(['drive', 'attach', BIG, A]);
    await big.io(A, 'write -P 18 0 700M');
    const nothing = async (what: string) => {
      const { files, bitmaps, checkpoints, notes } = await box.leftovers(A, BIG);
      const ofBig = bitmaps?.filter((it) => it !== kept.at(-1)); // the VM has the other drive too
      t.strictSame([files, ofBig, checkpoints, notes], [[], [], [], []], what);
    };
    const { stderr } = await until('cancel', 'snapshot.create:copying', 'create', BIG, next(), 'pool', A);
    t.match(stderr, /cancelled/);
    await nothing('cancelled');
    await until('kill', 'snapshot.create:copying', 'create', BIG, next(), 'pool', A);
    t.match(await box.virsh('backup-dumpxml', A), '.partial', 'libvirt goes on without us');
    await box.json(['reconcile']);
    await t.rejects(box.virsh('backup-dumpxml', A), 'until somebody looks');
    await nothing('killed');
    const off = await until('power-cut', 'snapshot.create:copying', 'create', BIG, next(), 'pool', A);
    t.match(off.stderr, /stopped while its drive was copied/);
    await nothing('switched off');
    await box.json(['vm', 'start', A]);
    await box.json(['drive', 'detach', BIG, A]);
    await box.json(['drive', 'delete', BIG, '--confirm', BIG]);
  });

  await t.test('a restore that is cut short leaves nothing, and is repeated', async (t) => {
    const model = await drive.remember();
    for (const point of FAULT_POINTS.filter((it) => it.startsWith('snapshot.restore:')))
      for (const how of ['kill', 'cancel'] as const) {
        await until(how, point, 'restore', kept.at(-1) ?? '', NEW);
        if (how === 'kill') await box.json(['reconcile']);
        t.strictSame(
          (await readdir(box.drives)).filter((it) => it.includes(NEW)),
          [],
          `${point}, ${how}`,
        );
      }
    t.ok(await sameWhenRestored(box, kept.at(-1) ?? '', model, NEW));
  });

  await t.test('deleting: not what others build on; cut short, it is finished', async (t) => {
    t.match(await box.refusal('snapshot', 'delete', base, '--confirm', base), { code: 'busy', message: kept[1] });
    t.match(await box.refusal('snapshot', 'delete', base, '--confirm', kept[1] ?? ''), { code: 'bad-request' });
    for (const point of FAULT_POINTS.filter((it) => it.startsWith('snapshot.delete:'))) {
      const victim = next();
      await box.snapshot(D, '--id', victim);
      await until('kill', point, 'delete', victim);
      await box.json(['reconcile']);
      await holds(kept, [], point);
      const again = next(); // full: nobody knows what has changed since the one that is gone
      t.match(await box.snapshot(D, '--id', again), { kind: 'full' });
      kept.push(again);
    }
    const deleted = (await box.json(['snapshot', 'prune', D, '--keep', '1', '--confirm', D])) as { deleted: string[] };
    t.strictSame(deleted.deleted, kept.slice(0, -1).reverse());
    kept.splice(0, kept.length - 1);
    await holds(kept, kept, 'pruned');
  });

  await t.test('raw: always full, and incremental is refused with the reason', async (t) => {
    const raw = await box.drive(RAW, 'raw');
    await box.json(['drive', 'attach', RAW, A]);
    await raw.io(A, 'write -P 99 3M 1M');
    const model = await raw.remember();
    const live = await box.snapshot(RAW);
    t.match(live, { kind: 'full', fullBecause: /raw/ });
    t.match(await box.refusal('snapshot', 'create', RAW, '--kind', 'incremental'), {
      code: 'wrong-state',
      message: /raw/,
    });
    await box.json(['drive', 'detach', RAW, A]);
    const still = await box.snapshot(RAW);
    for (const it of [live, still]) t.ok(await sameWhenRestored(box, it.snapshotId, model, NEW, 'raw'));
  });

  t.strictSame(
    FAULT_POINTS.filter((it) => it.startsWith('snapshot.') && it !== 'snapshot.create:upload' && !reached.has(it)),
    [],
    'every fault point of snapshots was reached',
  );
});
