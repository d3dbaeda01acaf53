/** Snapshots: the file system is at rest for the moment that is copied, and thaws whatever happens. Real backend; host and disks in memory. */
import t from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import { driveScene } from './drive-scene.ts';
import { withPowerCut } from './power-cut.ts';

const scene = await driveScene(t);
const { ada, vm, world } = scene;
const { host } = world;

interface Made {
  snapshotId: string;
  consistency: string;
  kind: string;
}
const snapshot = async (...words: string[]) =>
  (await ada.ok('drive', 'snapshot', 'create', ...words, '--json')).json<Made>();

t.test('a mounted drive is frozen until the copying begins, and no longer', async (t) => {
  const driveId = await scene.drive('live');
  await ada.ok('drive', 'open', 'live');
  const disk = vm.disks.disk(driveId);
  const frozenAt: Record<string, boolean> = {};
  const thawed = Promise.withResolvers<void>();
  vm.onAnswer = (method) => {
    if (method === 'drive.thaw') thawed.resolve();
  };
  host.onWork = async (method) => {
    if (method === 'snapshot.copy') await thawed.promise; // else it would hang here: the thaw comes while it is copied
    frozenAt[method] = disk.frozen;
  };
  t.match(await snapshot('live'), { kind: 'full', consistency: 'frozen' });
  t.strictSame(frozenAt, { 'snapshot.create': true, 'snapshot.copy': false });
  vm.onAnswer = () => {};
  host.onWork = async () => {};
  t.match(await snapshot('live', '--incremental'), { kind: 'incremental', consistency: 'frozen' });
  const text = await ada.ok('drive', 'snapshot', 'create', 'live', '--full');
  t.match(text.io.output(), /live {2}snap-\w+ {2}full, 1.0 KiB\nconsistent: the file system was at rest/);
  t.equal(disk.frozen, false);
});

t.test('what was not at rest is not called so', async (t) => {
  const driveId = await scene.drive('moving');
  t.match(await snapshot('moving'), { consistency: 'unused' }, 'closed');
  vm.disks.set(driveId, { state: 'foreign' });
  t.match(await snapshot('moving'), { consistency: 'power-cut' }, 'something of the VM itself has it');
  vm.disks.set(driveId, { state: 'locked' });
  await ada.ok('drive', 'open', 'moving');
  const { thaws } = vm.disks;
  t.match(await snapshot('moving', '--no-freeze'), { consistency: 'power-cut' });
  t.equal(vm.disks.thaws, thaws);
  // The time was over before the host had its moment.
  vm.disks.onFreeze = () => {
    vm.disks.disk(driveId).frozen = false;
  };
  const late = await ada.ok('drive', 'snapshot', 'create', 'moving');
  vm.disks.onFreeze = () => {};
  t.match(late.io.output(), /as after a power cut/);
  await ada.ok('drive', 'detach', 'moving');
  t.match(await snapshot('moving'), { consistency: 'unused' });
});

t.test('a file system that does not come to rest: no snapshot, and what to type', async (t) => {
  await scene.drive('restless');
  await ada.ok('drive', 'open', 'restless');
  vm.onAnswer = (method) => {
    if (method === 'drive.freeze') throw new VmcError('timeout', 'It took too long.');
  };
  const calls = vm.calls.length;
  const refused = await ada.run('drive', 'snapshot', 'create', 'restless');
  vm.onAnswer = () => {};
  t.equal(refused.code, 75);
  t.match(refused.io.errors(), /could not be brought to rest.*No snapshot was made.*--no-freeze/s);
  t.ok(vm.calls.slice(calls).includes('drive.thaw'), 'it may have come to rest all the same');
});

t.test('Ctrl-C, a host that fails, a backend that refuses: it thaws', async (t) => {
  const driveId = await scene.drive('shaken');
  await ada.ok('drive', 'open', 'shaken');
  const disk = vm.disks.disk(driveId);
  const create = ['drive', 'snapshot', 'create', 'shaken'];

  const abort = new AbortController();
  host.onWork = async (method, { signal }) => {
    if (method !== 'snapshot.create') return;
    abort.abort(new VmcError('cancelled', 'Cancelled.'));
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  };
  const stopped = ada.start(abort.signal, ...create);
  t.equal(await stopped.ended, 130);
  t.match(stopped.io.errors(), /Nothing of the snapshot stays/);
  t.equal(disk.frozen, false, 'Ctrl-C');

  host.onWork = async () => {
    throw new VmcError('no-space', 'The pool is full.');
  };
  const failed = await ada.run(...create);
  t.equal(failed.code, 74);
  t.match(failed.io.errors(), /The pool is full/);
  t.equal(disk.frozen, false, 'a host that fails');
  host.onWork = async () => {};

  await withPowerCut(
    1,
    (name) => name === 'POST /v1/drives/:driveId/snapshots',
    () => ada.run(...create),
  );
  t.equal(disk.frozen, true, 'connect is gone: nobody can thaw, and the VM does by itself');
  disk.frozen = false;
});

t.test('list, verify, restore with the key of the old drive, delete', async (t) => {
  const driveId = await scene.drive('kept');
  const first = await snapshot('kept');
  const second = await snapshot('kept');
  t.equal(second.kind, 'incremental');
  const listed = await ada.ok('drive', 'snapshot', 'list', 'kept');
  t.match(
    listed.io.output(),
    new RegExp(`${second.snapshotId} +kept +20.* +incremental +1.0 KiB +pool +${first.snapshotId}`),
  );
  t.match((await ada.ok('drive', 'snapshot', 'verify', first.snapshotId, '--json')).json(), { ok: true });
  host.damaged = true;
  const damaged = await ada.run('drive', 'snapshot', 'verify', second.snapshotId);
  host.damaged = false;
  t.equal(damaged.code, 65);
  t.match(damaged.io.errors(), /not as it was written: another hash/);

  // The key is changed afterwards: the snapshot has the old one.
  const old = vm.keys.get(driveId) as Uint8Array;
  const before = structuredClone(vm.disks.disk(driveId).header);
  await ada.ok('drive', 'key', 'change', 'kept');
  const restored = await ada.ok('drive', 'snapshot', 'restore', first.snapshotId, 'kept-before', '--json');
  const made = restored.json<{ driveId: string; hasKey: boolean; restoredFrom: string }>();
  t.match(made, { hasKey: true, state: 'made', name: 'kept-before' });
  vm.disks.clone(driveId, made.driveId);
  vm.disks.disk(made.driveId).header = before;
  await ada.ok('drive', 'attach', 'kept-before', 'lab');
  await ada.ok('drive', 'open', 'kept-before');
  t.strictSame(
    new Uint8Array((await ada.ok('drive', 'key', 'export', 'kept-before')).io.outputBytes()),
    new Uint8Array(old),
  );

  await ada.ok('drive', 'detach', 'kept');
  await ada.ok('drive', 'delete', 'kept', '--confirm', driveId);
  t.match(
    (await ada.ok('drive', 'snapshot', 'list', driveId, '--json')).json(),
    { snapshots: [{}, {}] },
    'it outlives the drive',
  );
  t.equal((await ada.run('drive', 'snapshot', 'delete', second.snapshotId, '--confirm', 'kept')).code, 64);
  await ada.ok('drive', 'snapshot', 'delete', second.snapshotId, '--confirm', second.snapshotId);
  t.equal((await ada.run('drive', 'snapshot', 'verify', second.snapshotId)).code, 66);
});

t.test('taken while a key was being changed: the key that fits shows when the restored drive is opened', async (t) => {
  const driveId = await scene.drive('between');
  await withPowerCut(
    1,
    (name) => name === 'drive.keyRemove',
    () => ada.run('drive', 'key', 'change', 'between'),
  );
  const { snapshotId } = await snapshot('between');
  const made = await ada.ok('drive', 'snapshot', 'restore', snapshotId, 'found', '--json');
  const { driveId: newId } = made.json<{ driveId: string }>();
  vm.disks.clone(driveId, newId);
  t.equal((await ada.run('drive', 'key', 'export', 'found')).code, 69, 'it has not shown yet');
  await ada.ok('drive', 'attach', 'found', 'lab');
  vm.onAnswer = (method) => {
    if (method === 'drive.format') throw new VmcError('not-blank', 'It is not blank.');
  };
  t.not((await ada.run('drive', 'format', 'found')).code, 0);
  vm.onAnswer = () => {};
  vm.disks.clone(driveId, newId); // the real one refuses before it changes anything
  t.equal(
    (await ada.run('drive', 'key', 'export', 'found')).code,
    69,
    'no new key took the place of those that open it',
  );
  await ada.ok('drive', 'open', 'found');
  const key = (await ada.ok('drive', 'key', 'export', 'found')).io.outputBytes();
  t.ok(vm.disks.opensWith(newId, new Uint8Array(key)));
});

t.test('what a server that is gone keeps from ending is forgotten, and it is said what may remain there', async (t) => {
  const driveId = await scene.drive('stuck');
  const forget = (...words: string[]) => ada.run('drive', 'snapshot', 'forget', 'stuck', '--confirm', ...words);
  t.equal((await forget('stuck')).code, 64);
  const [snapshotId, path] = ['snap-00000000000000f1', 'backup:/safe/snap.qcow2'];
  host.unfinished.push({ snapshotId, doing: 'making', remains: [path] });
  const text = (await forget(driveId)).io.output();
  t.match(text, `${snapshotId}  was not finished; on the server there may remain:\n  ${path}`);
  t.strictSame(JSON.parse((await forget(driveId, '--json')).io.output()), { driveId, forgotten: [] });
});
