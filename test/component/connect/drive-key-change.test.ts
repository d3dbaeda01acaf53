/**
 * Changing a drive's key: the power goes after every remote call in turn, and each time a key that is stored opens the
 * drive, for its owner and for who shares it; the same command then finishes what was begun.
 */
import t from 'tap';
import {
  openDriveKey,
  openNextDriveKey,
  openSharedDriveKey,
  sealNextDriveKey,
} from '../../../connect/drive/key-envelope.ts';
import { VmClient } from '../../../shared/backend-client/vm-client.ts';
import { toBase64 } from '../../../shared/names.ts';
import { type DrivePerson, drivePeopleRoutes } from '../../../shared/rest-api/drive-people.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import type { Drive } from '../../../shared/rest-api/machines.ts';
import { driveScene, type Someone } from './drive-scene.ts';
import { withPowerCut } from './power-cut.ts';

const scene = await driveScene(t);
const { ada, bob, eve, vm } = scene;

const drives = (name: string) => /^drive\.|\/v1\/drives/.test(name);
const storedFor = (who: Someone, driveId: string): Promise<Drive> =>
  scene.signedIn(who, (client) => client.call(routes.driveGet, { params: { driveId }, body: {} }));

/** The keys that the backend has stored for them, by real envelopes. */
async function keysOf(who: Someone, driveId: string): Promise<Uint8Array[]> {
  const { wrappedKey, nextWrappedKey } = await storedFor(who, driveId);
  if (wrappedKey === undefined) return [];
  const own = who === ada;
  const open = (it: Uint8Array) => openSharedDriveKey(who.identity, ada.identity.public.ed25519, driveId, it);
  const present = own ? openDriveKey(who.identity, driveId, wrappedKey) : open(wrappedKey);
  if (nextWrappedKey === undefined) return [present];
  const next = own ? openNextDriveKey(who.identity, driveId, wrappedKey, nextWrappedKey) : open(nextWrappedKey);
  return [present, next];
}

async function fitting(who: Someone, driveId: string): Promise<number> {
  const keys = await keysOf(who, driveId);
  return keys.filter((key) => vm.disks.opensWith(driveId, key)).length;
}

t.test('a new key: the old one opens no more, people have the new one, the header is backed up', async (t) => {
  const driveId = await scene.drive('plain');
  await ada.ok('drive', 'share', 'plain', 'bob', '--rw');
  await bob.ok('vm', 'info', 'lab');
  await bob.ok('drive', 'open', 'plain@ada', '--fingerprint', ada.print);
  const old = vm.keys.get(driveId) as Uint8Array;
  const changed = await ada.ok('drive', 'key', 'change', 'plain', '--for', 'bob');
  t.match(changed.io.output(), 'plain  has a new key in slot 1, wrapped for you and 1 more');
  t.match(changed.io.errors(), /backups of its header still open with what opened it then/);
  t.notOk(vm.disks.opensWith(driveId, old));
  t.strictSame((await ada.ok('drive', 'key', 'list', 'plain', '--json')).json(), {
    driveId,
    slots: [{ slot: 1, kind: 'key' }],
  });
  for (const who of [ada, bob]) t.equal(await fitting(who, driveId), 1, who.name);
  await bob.ok('drive', 'open', 'plain@ada');
  await ada.ok('drive', 'open', 'plain');
  t.match((await ada.ok('drive', 'header', 'list', 'plain', '--json')).json(), { backups: [{}, {}], refused: 0 });
  t.equal((await ada.ok('drive', 'key', 'export', 'plain')).io.outputBytes().length, 32);
});

t.test('H9 the power goes after every call', async (t) => {
  const driveId = await scene.drive('walked');
  await ada.ok('drive', 'share', 'walked', 'bob', '--rw');
  const change = () => ada.run('drive', 'key', 'change', 'walked', '--for', 'bob');
  const reached = new Set<string>();
  for (let n = 1; ; n++) {
    const before = await keysOf(ada, driveId);
    const cut = await withPowerCut(n, drives, change);
    if (!cut.happened) break;
    const last = cut.calls.at(-1) ?? '';
    reached.add(last);
    for (const who of [ada, bob]) t.ok((await fitting(who, driveId)) > 0, `${n}: ${last}: ${who.name} has a key`);
    t.equal((await ada.run('drive', 'open', 'walked')).code, 0, `${n}: ${last}: ada opens it`);
    t.equal((await bob.run('drive', 'open', 'walked@ada')).code, 0, `${n}: ${last}: bob opens it`);
    const again = await change();
    t.equal(again.code, 0, `${n}: finished, or begun anew: ${again.io.errors()}`);
    for (const key of before) t.notOk(vm.disks.opensWith(driveId, key), `${n}: the old key is gone`);
    t.equal(vm.disks.disk(driveId).header?.slots.length, 1, `${n}: no slot was left behind`);
    for (const who of [ada, bob]) t.equal(await fitting(who, driveId), 1, `${n}: ${who.name}`);
  }
  for (const call of ['PUT /v1/drives/:driveId/next-key', 'drive.keyAdd', 'drive.keyRemove', 'drive.keyCheck'])
    t.ok(reached.has(call), call);
  t.ok(reached.has('POST /v1/drives/:driveId/next-key/commit'));
});

t.test('one more person whom the backend names gets no key', async (t) => {
  const driveId = await scene.drive('named');
  await ada.ok('drive', 'share', 'named', 'bob', '--ro');
  const unconfirmed = await ada.run('drive', 'key', 'change', 'named');
  t.equal(unconfirmed.code, 64);
  t.match(unconfirmed.io.errors(), /not confirmed with whom named is shared.*--for bob/s);
  await ada.ok('drive', 'share', 'named', 'eve', '--ro', '--fingerprint', eve.print); // as if the backend had
  const refused = await ada.run('drive', 'key', 'change', 'named', '--for', 'bob');
  t.equal(refused.code, 77);
  t.match(refused.io.errors(), /shared with bob, eve, not with those whom --for names/);
  t.equal((await storedFor(ada, driveId)).nextWrappedKey, undefined);
});

t.test('somebody else under the name of who was confirmed gets no key', async (t) => {
  const driveId = await scene.drive('renamed');
  await ada.ok('drive', 'share', 'renamed', 'eve', '--ro', '--fingerprint', eve.print); // known here from now on
  const { call } = VmClient.prototype;
  VmClient.prototype.call = async function (route, ...rest) {
    const answer = await call.call(this, route, ...rest);
    if ((route as unknown) !== drivePeopleRoutes.drivePeople) return answer as never;
    const { people } = answer as unknown as { people: DrivePerson[] };
    return { people: people.map((it) => ({ ...it, name: 'bob' })) } as never;
  };
  t.teardown(() => {
    VmClient.prototype.call = call;
  });
  const refused = await ada.run('drive', 'key', 'change', 'renamed', '--for', 'bob');
  VmClient.prototype.call = call;
  t.equal(refused.code, 65);
  t.match(refused.io.errors(), /contradicts itself on who bob is/);
  t.equal((await storedFor(ada, driveId)).nextWrappedKey, undefined);
});

t.test(
  'while a change is open: nothing is exported or shared, and it can be given up before it reaches the drive',
  async (t) => {
    const driveId = await scene.drive('open');
    const change = () => ada.run('drive', 'key', 'change', 'open');
    await withPowerCut(1, (name) => name.endsWith('/next-key'), change);
    t.ok((await storedFor(ada, driveId)).nextWrappedKey);
    t.equal((await ada.run('drive', 'key', 'export', 'open')).code, 69);
    t.equal((await ada.run('drive', 'share', 'open', 'bob', '--ro')).code, 69);
    t.match((await ada.ok('drive', 'show', 'open')).io.output(), /key +is being changed/);
    await ada.ok('drive', 'key', 'change', 'open', '--give-up');
    t.equal((await storedFor(ada, driveId)).nextWrappedKey, undefined);
    await ada.ok('drive', 'open', 'open');

    await withPowerCut(1, (name) => name === 'drive.keyAdd', change);
    const refused = await ada.run('drive', 'key', 'change', 'open', '--give-up');
    t.equal(refused.code, 69);
    t.match(refused.io.errors(), /opens with its next key already/);
    t.match((await ada.ok('drive', 'key', 'change', 'open', '--json')).json(), { resumed: true });
  },
);

t.test('given up on another device in the middle: the old key opens the drive as before', async (t) => {
  for (const moment of ['drive.keyAdd', 'drive.keyRemove']) {
    const name = moment === 'drive.keyAdd' ? 'raced-early' : 'raced-late';
    const driveId = await scene.drive(name);
    const old = vm.keys.get(driveId) as Uint8Array;
    vm.onAnswer = async (method) => {
      if (method !== moment) return;
      vm.onAnswer = () => {};
      const wrappedKey = toBase64((await storedFor(ada, driveId)).nextWrappedKey as Uint8Array);
      await scene.signedIn(ada, (client) =>
        client.call(drivePeopleRoutes.driveKeyForget, { params: { driveId }, body: { wrappedKey } }),
      );
    };
    const refused = await ada.run('drive', 'key', 'change', name);
    t.match(refused.io.errors(), /given up on another device/, moment);
    t.not(refused.code, 0);
    t.ok(vm.disks.opensWith(driveId, old), moment);
    t.equal(vm.disks.disk(driveId).header?.slots.length, 1, `${moment}: nothing else does`);
    await ada.ok('drive', 'open', name);
    await ada.ok('drive', 'key', 'change', name);
    t.notOk(vm.disks.opensWith(driveId, old));
  }
});

t.test('a next key that the backend brings is not added: neither an old one, nor one of its own', async (t) => {
  const driveId = await scene.drive('replayed');
  const first = (await storedFor(ada, driveId)).wrappedKey as Uint8Array;
  const firstKey = vm.keys.get(driveId) as Uint8Array;
  await ada.ok('drive', 'key', 'change', 'replayed');
  const second = (await storedFor(ada, driveId)).wrappedKey as Uint8Array;
  await ada.ok('drive', 'key', 'change', 'replayed');
  const userId = (await storedFor(ada, driveId)).ownerId;
  // It has every envelope from before, and may serve whichever it likes.
  const olderChange = sealNextDriveKey(ada.identity, driveId, first, firstKey);
  for (const planted of [first, second, olderChange]) {
    await scene.signedIn(ada, (client) => {
      const body = { keys: [{ userId, wrappedKey: toBase64(planted) }] };
      return client.call(drivePeopleRoutes.driveKeyStage, { params: { driveId }, body });
    });
    const calls = vm.calls.length;
    const refused = await ada.run('drive', 'key', 'change', 'replayed');
    t.equal(refused.code, 65);
    t.match(refused.io.errors(), /was not made by you to follow the present one/);
    t.notOk(vm.calls.slice(calls).includes('drive.keyAdd'));
    t.notOk(vm.disks.opensWith(driveId, firstKey));
    await ada.ok('drive', 'key', 'change', 'replayed', '--give-up');
  }
  await ada.ok('drive', 'key', 'change', 'replayed');
});

t.test('a second device begins a change too: both end with one key', async (t) => {
  const driveId = await scene.drive('twice');
  const both = await Promise.all([
    ada.run('drive', 'key', 'change', 'twice'),
    ada.run('drive', 'key', 'change', 'twice'),
  ]);
  t.ok(
    both.some(({ code }) => code === 0),
    both.map(({ io }) => io.errors()).join('\n'),
  );
  t.ok((await fitting(ada, driveId)) > 0);
  await ada.ok('drive', 'key', 'change', 'twice');
  t.equal(vm.disks.disk(driveId).header?.slots.length, 1);
});
