/** Sharing a drive: its key goes to the person that is meant, and is taken only from the drive's owner. Real backend, real envelopes. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { sealSharedDriveKey } from '../../../connect/drive/key-envelope.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { toBase64 } from '../../../shared/names.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { driveScene, type Someone } from './drive-scene.ts';

const scene = await driveScene(t);
const { ada, bob, eve, vm } = scene;

const peopleOf = async (name: string) =>
  (await ada.ok('drive', 'people', name, '--json')).json<{ people: { name: string; access: string }[] }>().people;
const userIdOf = (who: Someone) =>
  scene.signedIn(ada, async (client) => {
    const { users } = await client.call(routes.userList, { params: {}, body: {} });
    return users.find((it) => it.name === who.name)?.userId as string;
  });

t.test('a drive is shared, opened by the other, and taken back', async (t) => {
  const driveId = await scene.drive('data');
  await ada.ok('drive', 'close', 'data');
  const share = ['drive', 'share', 'data', 'eve', '--ro'];
  const unconfirmed = await ada.run(...share);
  t.equal(unconfirmed.code, 64, "eve's key is not known here");
  t.equal((await ada.run(...share, '--fingerprint', bob.print)).code, 76);
  t.equal((await ada.run('drive', 'share', 'data', 'bob')).code, 64, 'neither --ro nor --rw');
  t.strictSame(await peopleOf('data'), []);
  t.match(
    (await ada.ok('drive', 'share', 'data', 'bob', '--rw')).io.output(),
    `data  shared with bob (rw)  ${bob.print}`,
  );
  t.match(await peopleOf('data'), [{ name: 'bob', access: 'rw' }]);
  const shown = /shared with +bob \(rw\)/;
  t.match((await ada.ok('drive', 'show', 'data')).io.output(), shown);

  t.match((await bob.ok('drive', 'list')).io.output(), new RegExp(`data@ada +${driveId} .* yes `));
  t.equal((await bob.run('drive', 'open', 'data')).code, 66, 'not by the bare name: that would be one of his own');
  const stranger = await bob.run('drive', 'open', 'data@ada');
  t.equal(stranger.code, 77, 'bob has not met the VM');
  await bob.ok('vm', 'info', 'lab');
  const calls = vm.calls.length;
  const first = await bob.run('drive', 'open', 'data@ada');
  t.equal(first.code, 64);
  t.match(first.io.errors(), new RegExp(`does not know ada yet.*${ada.print.replaceAll('+', '\\+')}`, 's'));
  t.equal((await bob.run('drive', 'open', 'data@ada', '--fingerprint', eve.print)).code, 76, 'a swapped owner key');
  t.notOk(vm.calls.slice(calls).includes('drive.open'));
  const opened = await bob.ok('drive', 'open', 'data@ada', '--fingerprint', ada.print);
  t.match(opened.io.output(), 'data@ada  mounted at /mnt/data');
  t.match(opened.io.errors(), /data@ada: ada can read what you write to it/);
  await bob.ok('drive', 'trim', 'data@ada');
  t.match((await bob.ok('drive', 'info', 'data@ada')).io.output(), /owner +ada; you may read and write/);
  await bob.ok('drive', 'detach', 'data@ada');
  await bob.ok('drive', 'attach', driveId, 'lab');

  for (const words of [
    ['delete', 'data@ada', '--confirm', driveId],
    ['grow', 'data@ada', '--size', '1GiB'],
    ['share', 'data@ada', 'eve', '--ro', '--yes'],
    ['key', 'change', 'data@ada'],
    ['key', 'export', 'data@ada'],
    ['snapshot', 'create', 'data@ada'],
    ['header', 'backup', 'data@ada'],
  ])
    t.equal((await bob.run('drive', ...words)).code, 77, words.join(' '));

  await bob.ok('drive', 'detach', 'data@ada');
  t.match((await ada.ok('drive', 'show', 'data')).io.output(), shown, 'detached too');
  t.match((await ada.ok('drive', 'show', 'data', '--json')).json(), { attachments: [], people: [{ name: 'bob' }] });
  t.notMatch((await bob.ok('drive', 'show', 'data@ada')).io.output(), 'shared with');
  const taken = await ada.ok('drive', 'unshare', 'data', 'bob');
  t.match(taken.io.errors(), /may still know its key.*drive key change data/s);
  t.strictSame(await peopleOf('data'), []);
  t.equal((await bob.run('drive', 'open', 'data@ada')).code, 66);
});

t.test('read-only sharing attaches read-only by itself, to several VMs', async (t) => {
  const driveId = await scene.drive('paper');
  await ada.ok('drive', 'detach', 'paper');
  await ada.ok('drive', 'share', 'paper', 'bob', '--ro');
  const attached = await bob.ok('drive', 'attach', 'paper@ada', 'lab', '--json');
  t.match(attached.json(), { attachments: [{ readOnly: true }], access: 'ro' });
  t.match(attached.io.errors(), /for reading: it is attached read-only/);
  t.match((await bob.ok('drive', 'open', 'paper@ada', '--json')).json(), { readOnly: true });
  t.equal((await ada.run('drive', 'attach', 'paper', 'lab')).code, 75, 'never both');
  await bob.ok('drive', 'detach', 'paper@ada');
  t.match((await ada.ok('drive', 'share', 'paper', 'bob', '--rw', '--json')).json(), { driveId, access: 'rw' });
  t.match((await bob.ok('drive', 'attach', 'paper@ada', 'lab', '--json')).json(), {
    attachments: [{ readOnly: false }],
  });
  await bob.ok('drive', 'detach', 'paper@ada');
  await bob.ok('drive', 'unshare', 'paper@ada', 'bob');
  t.strictSame(await peopleOf('paper'), [], 'given back');
});

t.test("a key that somebody else signed is not used, though it is wrapped to bob and in ada's name", async (t) => {
  const driveId = await scene.drive('planted');
  await ada.ok('drive', 'share', 'planted', 'bob', '--rw');
  // What the backend could store by itself, with a key of its own.
  const backend = generateIdentity();
  const userId = await userIdOf(bob);
  await scene.signedIn(ada, (client) => {
    const wrapped = sealSharedDriveKey(backend, bob.identity.public, driveId, new Uint8Array(32));
    const body = { access: 'rw' as const, wrappedKey: toBase64(wrapped) };
    return client.call(routes.driveShare, { params: { driveId, userId }, body });
  });
  const calls = vm.calls.length;
  const refused = await bob.run('drive', 'open', 'planted@ada');
  t.equal(refused.code, 65);
  t.match(refused.io.errors(), /not signed by the drive's owner/);
  t.notOk(vm.calls.slice(calls).includes('drive.open'));
});

t.test('an owner whose key is another one now is refused loudly', async (t) => {
  await scene.drive('swapped');
  await ada.ok('drive', 'share', 'swapped', 'bob', '--rw');
  const path = join(bob.folder, 'known-people.json');
  const known = readFileSync(path, 'utf8');
  const other = generateIdentity().public.ed25519;
  writeFileSync(path, JSON.stringify({ ada: { ed25519: other.toBase64(), fingerprint: 'SHA256:other' } }));
  const refused = await bob.run('drive', 'open', 'swapped@ada', '--yes');
  t.equal(refused.code, 76);
  t.match(refused.io.errors(), /THE KEY OF ada HAS CHANGED/);
  writeFileSync(path, known);
  await bob.ok('drive', 'open', 'swapped@ada');
});

t.test('no key, open or wrapped, in any answer', async (t) => {
  const driveId = await scene.drive('quiet');
  const shared = await ada.ok('drive', 'share', 'quiet', 'bob', '--rw', '--json');
  const answers = [
    shared,
    await bob.ok('drive', 'open', 'quiet@ada', '--json'),
    await bob.ok('drive', 'show', 'quiet@ada', '--json'),
    await ada.ok('drive', 'info', 'quiet', '--json'),
    await ada.ok('drive', 'people', 'quiet', '--json'),
  ];
  const key = Buffer.from(vm.keys.get(driveId) as Uint8Array);
  const seen = answers
    .map(({ io }) => io.output() + io.errors())
    .concat(scene.world.log)
    .join('\n');
  for (const form of [key.toString('base64'), key.toString('hex')]) t.notOk(seen.includes(form));
  t.notMatch(seen, /wrappedKey|nextWrappedKey/i);
});

t.test('the owner of a VM takes somebody else’s drive out of it: closed inside first', async (t) => {
  const made = await bob.ok('drive', 'create', 'his', '--size', '64MiB', '--json');
  const { driveId } = made.json<{ driveId: string }>();
  await bob.ok('drive', 'attach', 'his', 'lab');
  const { disks } = vm;
  disks.set(driveId, { state: 'mounted', mountPoint: '/mnt/his' });
  const listed = (await ada.ok('vm', 'drive', 'list', 'lab')).io.output();
  t.match(listed, new RegExp(`${driveId} +bob +read-write +/mnt/his`));
  t.notMatch((await ada.ok('vm', 'drive', 'list', 'lab', '--json')).io.output(), '"his"', 'its name is bob’s');
  t.equal((await ada.run('drive', 'detach', driveId)).code, 66);
  t.equal((await bob.run('vm', 'drive', 'list', 'lab')).code, 66);
  t.equal((await ada.run('vm', 'drive', 'detach', 'lab', 'his')).code, 64);
  const calls = vm.calls.length;
  t.equal((await ada.ok('vm', 'drive', 'detach', 'lab', driveId)).io.output(), `${driveId}  detached\n`);
  t.strictSame(
    vm.calls.slice(calls).filter((it) => /close|Gone/i.test(it)),
    ['drive.close', 'drive.waitGone'],
  );
  t.match((await bob.ok('drive', 'show', 'his')).io.output(), /attached to +-/);
});
