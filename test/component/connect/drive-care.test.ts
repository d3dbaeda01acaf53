/** Looking after drives: growth, checks, jobs, key slots, headers, re-encryption. Real backend; host and disks in memory. */
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import { drivePeopleRoutes } from '../../../shared/rest-api/drive-people.ts';
import { driveScene } from './drive-scene.ts';

const scene = await driveScene(t);
const { ada, vm, world } = scene;
const MIB = 1024 ** 2;

/** Resolves as soon as `method` works at the host; it goes on when `go` is called, or is told to stop. */
function heldWork(method: string) {
  const begun = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  world.host.onWork = async (name, { signal }) => {
    if (name !== method) return;
    begun.resolve();
    const stopped = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => stopped.resolve(), { once: true });
    await Promise.race([go.promise, stopped.promise]);
  };
  t.teardown(() => {
    world.host.onWork = async () => {};
  });
  return { begun: begun.promise, go: () => go.resolve() };
}
const ctrlC = (abort: AbortController) => abort.abort(new VmcError('cancelled', 'Cancelled.'));

t.test('grow: the file, then what is open in the VM; a closed drive is told what is left', async (t) => {
  const driveId = await scene.drive('grown');
  const closed = await ada.ok('drive', 'grow', 'grown', '--size', '128MiB');
  t.match(closed.io.output(), /128.0 MiB.*connect drive open grown, then this command again/s);
  t.notOk(vm.calls.includes('drive.grow'));
  await ada.ok('drive', 'open', 'grown');
  const open = await ada.ok('drive', 'grow', 'grown', '--size', '128MiB', '--json');
  t.match(open.json(), { driveId, sizeBytes: 128 * MIB, inside: { state: 'mounted' } });
  t.notMatch(open.json(), { left: String });
  t.equal((await ada.run('drive', 'grow', 'grown', '--size', '64MiB')).code, 64, 'it never shrinks');
  await ada.ok('drive', 'detach', 'grown');
  t.match((await ada.ok('drive', 'grow', 'grown', '--size', '256MiB', '--json')).json(), { left: /drive open/ });
  await ada.ok('drive', 'create', 'blank', '--size', '64MiB');
  t.notMatch((await ada.ok('drive', 'grow', 'blank', '--size', '128MiB', '--json')).json(), { left: String });
});

t.test(
  'grow: a btrfs that is open is not made smaller than the kernel resizes, and its file stays as it is',
  async (t) => {
    const driveId = await scene.drive('small', 'btrfs');
    await ada.ok('drive', 'open', 'small');
    const refused = await ada.run('drive', 'grow', 'small', '--size', '200MiB');
    t.equal(refused.code, 69);
    t.match(refused.io.errors(), /272MiB. Nothing was changed.*connect drive grow small --size 272MiB/s);
    t.equal(world.host.files.get(driveId)?.sizeBytes, 64 * MIB);
    t.match((await ada.ok('drive', 'grow', 'small', '--size', '272MiB', '--json')).json(), { sizeBytes: 272 * MIB });
  },
);

t.test('check and convert are jobs; what is damaged is an error', async (t) => {
  await scene.drive('checked');
  t.equal((await ada.run('drive', 'check', 'checked')).code, 75, 'attached');
  await ada.ok('drive', 'detach', 'checked');
  t.match((await ada.ok('drive', 'check', 'checked', '--repair')).io.output(), 'checked  good');
  world.host.damaged = true;
  const damaged = await ada.run('drive', 'check', 'checked', '--json');
  world.host.damaged = false;
  t.equal(damaged.code, 65);
  t.match(damaged.json(), { state: 'damaged', corruptions: 2 });
  t.match((await ada.ok('drive', 'convert', 'checked', '--format', 'raw', '--json')).json(), { format: 'raw' });
  t.match((await ada.ok('job', 'list')).io.output(), /job-\w+ +drive-convert +drv\w+ +done/);
});

t.test('Ctrl-C cancels the job and says how things are', async (t) => {
  const driveId = await scene.drive('stopped');
  await ada.ok('drive', 'detach', 'stopped');
  const work = heldWork('drive.convert');
  const abort = new AbortController();
  const { io, ended } = ada.start(abort.signal, 'drive', 'convert', 'stopped', '--format', 'raw');
  await work.begun;
  ctrlC(abort);
  t.equal(await ended, 130);
  t.match(io.errors(), /Stopping job-.*Cancelled \(job-\w+\). The drive is as it was/s);
  t.equal(world.host.files.get(driveId)?.format, 'qcow2');
  t.match((await ada.ok('drive', 'show', 'stopped', '--json')).json(), { format: 'qcow2' });
});

t.test('a job is found again, followed and cancelled from elsewhere', async (t) => {
  await scene.drive('found');
  await ada.ok('drive', 'detach', 'found');
  const work = heldWork('drive.check');
  const first = ada.start(new AbortController().signal, 'drive', 'check', 'found');
  await work.begun;
  const { jobs } = (await ada.ok('job', 'list', '--json')).json<{ jobs: { jobId: string; state: string }[] }>();
  const jobId = jobs.find((it) => it.state === 'running')?.jobId as string;
  t.match((await ada.ok('job', 'show', jobId)).io.output(), /state +running.*working: 1 B of 4 B/s);
  const left = new AbortController();
  const waiting = ada.start(left.signal, 'job', 'wait', jobId);
  ctrlC(left);
  t.equal(await waiting.ended, 130, 'the waiting ends');
  t.match((await ada.ok('job', 'show', jobId, '--json')).json(), { state: 'running' }, 'the job does not');
  t.match((await ada.ok('job', 'cancel', jobId, '--json')).json(), { state: 'cancelled' });
  t.equal(await first.ended, 130);
  t.equal((await ada.run('job', 'wait', jobId)).code, 130);
  t.equal((await ada.run('job', 'show', 'job-0000000000000000')).code, 66);
  t.equal((await scene.eve.run('job', 'show', jobId)).code, 66, "nobody else's business");
});

t.test('a drive whose space is set aside is made by a job, and leaves nothing when that is stopped', async (t) => {
  const create = ['drive', 'create', 'full', '--size', '64MiB', '--format', 'raw', '--allocation', 'falloc'];
  const work = heldWork('drive.create');
  const abort = new AbortController();
  const stopped = ada.start(abort.signal, ...create);
  await work.begun;
  ctrlC(abort);
  t.equal(await stopped.ended, 130);
  world.host.onWork = async () => {};
  t.notMatch((await ada.ok('drive', 'list')).io.output(), /full/);
  t.match((await ada.ok(...create, '--json')).json(), { state: 'made', format: 'raw' });
});

t.test('key slots: a passphrase and a second key, from descriptors only', async (t) => {
  const driveId = await scene.drive('slots');
  const add = (...how: string[]) => ada.run('drive', 'key', 'add', 'slots', ...how);
  t.equal((await add()).code, 64, 'nothing to add');
  t.equal((await add('--slot-passphrase-fd', '4')).code, 64, 'shorter than 12 characters');
  t.equal((await add('--key-fd', '4')).code, 64, 'no key');
  t.equal((await add('--slot-passphrase-fd', '6', '--key-fd', '7')).code, 64, 'one of them');
  t.equal((await add('--ask')).code, 64, 'no terminal');
  t.match((await ada.ok('drive', 'key', 'add', 'slots', '--slot-passphrase-fd', '6', '--json')).json(), { slot: 1 });
  t.match((await ada.ok('drive', 'key', 'add', 'slots', '--key-fd', '7', '--json')).json(), { slot: 2 });
  t.match((await ada.ok('drive', 'key', 'list', 'slots')).io.output(), /0 +key\n1 +passphrase\n2 +key/);
  t.match((await ada.ok('drive', 'key', 'check', 'slots', '--json')).json(), { driveId, slot: 0 });
  t.match((await ada.ok('drive', 'key', 'check', 'slots', '--slot-passphrase-fd', '6', '--json')).json(), { slot: 1 });
  t.equal((await ada.run('drive', 'key', 'check', 'slots', '--slot-passphrase-fd', '5')).code, 65);
  t.equal((await ada.run('drive', 'key', 'remove', 'slots', '0')).code, 69, 'the way in that is in use');
  t.equal((await ada.run('drive', 'key', 'remove', 'slots', '32')).code, 64);
  const removed = await ada.ok('drive', 'key', 'remove', 'slots', '1');
  t.match(removed.io.errors(), /Older backups of its header still open/);
  t.equal((await ada.run('drive', 'key', 'check', 'slots', '--slot-passphrase-fd', '6')).code, 65);
});

t.test('H9 the header: backed up by itself, wiped, and restored from the backend or a file', async (t) => {
  const driveId = await scene.drive('wiped');
  const disk = vm.disks.disk(driveId);
  t.match((await ada.ok('drive', 'header', 'list', 'wiped', '--json')).json(), { backups: [{}] }, 'format made one');
  const file = join(t.testdir(), 'wiped.header');
  await ada.ok('drive', 'header', 'backup', 'wiped', '--file', file);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.equal((await ada.run('drive', 'header', 'backup', 'wiped', '--file', file)).code, 73, 'never replaced');

  const restore = (...how: string[]) => ada.run('drive', 'header', 'restore', 'wiped', '--confirm', driveId, ...how);
  for (const how of [[], ['--file', file]]) {
    disk.header = undefined;
    t.not((await ada.run('drive', 'open', 'wiped')).code, 0);
    t.equal((await ada.run('drive', 'header', 'restore', 'wiped', '--confirm', 'wiped')).code, 64);
    const restored = await restore(...how);
    t.equal(restored.code, 0, restored.io.errors());
    t.match(restored.io.errors(), /The backup of 20\d\d-/);
    await ada.ok('drive', 'open', 'wiped');
    await ada.ok('drive', 'close', 'wiped');
  }
  writeFileSync(file, 'something else', { mode: 0o600 });
  t.equal((await restore('--file', file)).code, 65);
  t.equal((await restore('--file', `${file}.gone`)).code, 66);
  t.equal((await restore('--older')).code, 66, 'there is one only');

  // What the backend made up itself is not even offered to the VM.
  await scene.signedIn(ada, (client) =>
    client.call(drivePeopleRoutes.driveHeaderPut, { params: { driveId }, body: { sealed: btoa('x'.repeat(2000)) } }),
  );
  const listed = await ada.ok('drive', 'header', 'list', 'wiped', '--json');
  t.match(listed.json(), { backups: [{}], refused: 1 });
  t.equal((await restore()).code, 0, 'the one that is ours is used');
});

t.test('format stands although its header could not be backed up, and says so', async (t) => {
  await ada.ok('drive', 'create', 'bare', '--size', '64MiB');
  await ada.ok('drive', 'attach', 'bare', 'lab');
  vm.onAnswer = (method) => {
    if (method === 'drive.headerRead') throw new VmcError('busy', 'Not now.');
  };
  const formatted = await ada.ok('drive', 'format', 'bare', '--json');
  vm.onAnswer = () => {};
  t.match(formatted.json(), { state: 'locked' });
  t.match(formatted.io.errors(), /no fresh backup.*Not now.*connect drive header backup bare/s);
});

t.test('re-encryption: Ctrl-C pauses it, again goes on; a header from before is refused', async (t) => {
  const driveId = await scene.drive('anew');
  await ada.ok('drive', 'open', 'anew');
  const abort = new AbortController();
  const toldToStop = Promise.withResolvers<void>();
  vm.disks.onReencrypt = async ({ progress, signal }) => {
    progress({ step: 'encrypting', done: 1, total: 10, unit: 'bytes' });
    signal.addEventListener('abort', () => toldToStop.resolve(), { once: true });
    ctrlC(abort);
    await toldToStop.promise;
  };
  const paused = ada.start(abort.signal, 'drive', 'reencrypt', 'anew');
  t.equal(await paused.ended, 130);
  await toldToStop.promise;
  t.match(paused.io.errors(), /told to pause. anew can be used as before.*connect drive reencrypt anew/s);
  vm.disks.onReencrypt = async () => {};
  const done = await ada.ok('drive', 'reencrypt', 'anew', '--json');
  t.match(done.json(), { driveId, reencrypted: 'done' });
  t.match(done.io.errors(), /of no use now.*connect drive trim anew/s);
  await ada.ok('drive', 'close', 'anew');
  const restore = ['drive', 'header', 'restore', 'anew', '--confirm', driveId];
  const older = await ada.run(...restore, '--older');
  t.equal(older.code, 65);
  t.match(older.io.errors(), /does not fit the data/);
  await ada.ok(...restore);
});

t.test('trim --all, settings, info; a drive that does not go is said', async (t) => {
  const driveId = await scene.drive('tended');
  await ada.ok('drive', 'open', 'tended');
  const all = (await ada.ok('drive', 'trim', '--all', '--json')).json<{ trimmed: { name: string }[] }>();
  t.ok(all.trimmed.some(({ name }) => name === 'tended'));
  t.equal((await ada.run('drive', 'trim')).code, 64);
  t.equal((await ada.run('drive', 'trim', 'tended', '--all')).code, 64);
  t.match((await ada.ok('drive', 'settings', 'tended', '--weekly-trim', 'off')).io.output(), /not trimmed weekly/);
  const info = await ada.ok('drive', 'info', 'tended');
  t.match(info.io.output(), /on the host +8.0 KiB taken\nshared with +nobody\nin lab +mounted at \/mnt\/tended/);
  vm.disks.stays = true;
  const stays = await ada.run('drive', 'detach', 'tended');
  vm.disks.stays = false;
  t.equal(stays.code, 75);
  t.match(stays.io.errors(), /detached, but the VM lab still has its device/);
  t.match((await ada.ok('drive', 'show', 'tended', '--json')).json(), { driveId, attachments: [] });
});
