/** Sharing, changes of key, header backups: nothing that opens a drive is ever lost, and nobody keeps what was taken back. */
import { randomBytes } from 'node:crypto';
import { request } from 'node:https';
import t from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import { toBase64 } from '../../../shared/names.ts';
import { SEALED_HEADER_MAX_BYTES } from '../../../shared/rest-api/drive-people.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { type AgentScene, agentScene } from './drive-scene.ts';
import { type Person, until } from './fixture.ts';

const key = (fill: number): Uint8Array => new Uint8Array(64).fill(fill);
const wrapped = (fill: number): string => toBase64(key(fill));
const get = (person: Person, driveId: string) => person.client.call(routes.driveGet, { params: { driveId }, body: {} });
const put = (person: Person, driveId: string, fill: number) =>
  person.client.call(routes.drivePutKey, { params: { driveId }, body: { wrappedKey: wrapped(fill) } });
const share = (by: Person, driveId: string, to: Person, access: 'ro' | 'rw', fill = 2) =>
  by.client.call(routes.driveShare, {
    params: { driveId, userId: to.userId },
    body: { access, wrappedKey: wrapped(fill) },
  });
const unshare = (by: Person, driveId: string, from: Person) =>
  by.client.call(routes.driveUnshare, { params: { driveId, userId: from.userId }, body: {} });
const attach = (person: Person, driveId: string, vmId: string, readOnly = false) =>
  person.client.call(routes.driveAttach, { params: { driveId }, body: { vmId, readOnly } });
const detach = (person: Person, driveId: string, vmId?: string) =>
  person.client.call(routes.driveDetach, { params: { driveId }, body: vmId === undefined ? {} : { vmId } });
const stage = (by: Person, driveId: string, keys: [Person, number][]) =>
  by.client.call(routes.driveKeyStage, {
    params: { driveId },
    body: { keys: keys.map(([{ userId }, fill]) => ({ userId, wrappedKey: wrapped(fill) })) },
  });
const commit = (by: Person, driveId: string, fill: number) =>
  by.client.call(routes.driveKeyCommit, { params: { driveId }, body: { wrappedKey: wrapped(fill) } });
const forget = (by: Person, driveId: string, fill: number) =>
  by.client.call(routes.driveKeyForget, { params: { driveId }, body: { wrappedKey: wrapped(fill) } });

async function withBob(t: Parameters<typeof agentScene>[0]): Promise<AgentScene & { bob: Person; bobsVm: string }> {
  const it = await agentScene(t);
  const bob = await it.fixture.invited(it.admin, 'bob');
  return { ...it, bob, bobsVm: await it.fixture.vm(bob, 'bobs') };
}

t.test('who is given a drive sees it with their own key, at VMs that they reach', async (t) => {
  const { alice, bob, vmId, bobsVm, driveId } = await withBob(t);
  await t.rejects(share(alice, driveId, bob, 'ro'), { code: 'wrong-state', message: /No key/ });
  await put(alice, driveId, 1);
  await t.rejects(share(alice, driveId, alice, 'ro'), { code: 'already-exists' });
  const nobody = { ...bob, userId: 'user-000000000000' };
  await t.rejects(share(alice, driveId, nobody, 'ro'), { code: 'not-found', message: /account/ });
  await share(alice, driveId, bob, 'ro');
  t.match(await get(bob, driveId), { access: 'ro', ownerName: 'alice', wrappedKey: key(2), attachments: [] });
  t.match(await get(alice, driveId), { access: 'owner', ownerName: 'alice', wrappedKey: key(1) });
  await attach(alice, driveId, vmId, true);
  t.strictSame((await get(bob, driveId)).attachments, [], 'her VM is none of his');
  await t.rejects(attach(bob, driveId, vmId, true), { code: 'not-found', message: /VM/ });
  await t.rejects(attach(bob, driveId, bobsVm), { code: 'forbidden', message: /read-only/ });
  await attach(bob, driveId, bobsVm, true);
  t.equal((await get(alice, driveId)).attachments.length, 2, 'read-only may be many');
  await t.rejects(
    detach(bob, driveId, vmId),
    { code: 'wrong-state' },
    'what she attached at hers is not his to detach',
  );
  await detach(bob, driveId);
  await share(alice, driveId, bob, 'rw', 3);
  t.match(await get(bob, driveId), { access: 'rw', wrappedKey: key(3) });
  await t.rejects(attach(bob, driveId, bobsVm), { code: 'busy', message: /a VM that you do not reach read-only/ });
  await detach(alice, driveId);
  await attach(bob, driveId, bobsVm);
  const { people } = await alice.client.call(routes.drivePeople, { params: { driveId }, body: {} });
  t.match(people, [{ userId: bob.userId, name: 'bob', access: 'rw' }]);
});

t.test('what is in use out of its owner’s reach is not taken back; they take the drive away first', async (t) => {
  const { alice, bob, bobsVm, driveId } = await withBob(t);
  await put(alice, driveId, 1);
  await share(alice, driveId, bob, 'rw');
  await attach(bob, driveId, bobsVm);
  await t.rejects(unshare(alice, driveId, bob), { code: 'busy', message: new RegExp(bobsVm) });
  await t.rejects(share(alice, driveId, bob, 'ro'), { code: 'busy' });
  await detach(alice, driveId);
  await unshare(alice, driveId, bob);
  await unshare(alice, driveId, bob);
  await t.rejects(get(bob, driveId), { code: 'not-found' });
  await share(alice, driveId, bob, 'ro', 7);
  t.strictSame((await get(bob, driveId)).wrappedKey, key(7), 'the old envelope is gone');
  await unshare(bob, driveId, bob);
  t.strictSame((await bob.client.call(routes.driveList, { params: {}, body: {} })).drives, [], 'anybody may leave');
});

t.test('what somebody shares is never so large that who is given it cannot read their list', async (t) => {
  const { alice, bob, driveId } = await withBob(t);
  await put(alice, driveId, 1);
  const shareBytes = (n: number) => {
    const wrappedKey = toBase64(new Uint8Array(n));
    return alice.client.call(routes.driveShare, {
      params: { driveId, userId: bob.userId },
      body: { access: 'ro', wrappedKey },
    });
  };
  await t.rejects(shareBytes(4097), { code: 'bad-request' });
  await shareBytes(4096);
  t.equal((await bob.client.call(routes.driveList, { params: {}, body: {} })).drives.length, 1);
});

t.test('people who were added to a VM leave its owner half of its places', async (t) => {
  const { fixture, agent, alice, bob, vmId, driveId } = await withBob(t);
  await fixture.enrol(agent, vmId);
  await alice.client.call(routes.vmPersonPut, { params: { vmId, userId: bob.userId }, body: { mayInvite: false } });
  for (let n = 0; n < 100; n++) await attach(bob, await fixture.drive(bob, `d${n}`), vmId);
  await t.rejects(attach(bob, await fixture.drive(bob, 'last'), vmId), { code: 'limit' });
  await attach(alice, driveId, vmId);
});

t.test('H3: the owner of a VM takes anybody’s drive out of it, and learns no more than whose it is', async (t) => {
  const { fixture, admin, agent, alice, bob, bobsVm, vmId } = await withBob(t);
  await fixture.enrol(agent, vmId);
  await alice.client.call(routes.vmPersonPut, { params: { vmId, userId: bob.userId }, body: { mayInvite: true } });
  const theirs = await fixture.drive(bob, 'secret-project');
  await attach(bob, theirs, vmId);
  const list = async (who: Person, id = vmId) =>
    (await who.client.call(routes.vmDriveList, { params: { vmId: id }, body: {} })).drives;
  const out = (who: Person, driveId = theirs, id = vmId) =>
    who.client.call(routes.vmDriveDetach, { params: { vmId: id, driveId }, body: {} });
  const [seen] = await list(alice);
  t.strictSame({ ...seen }, { driveId: theirs, readOnly: false, ownerId: bob.userId, ownerName: 'bob' });
  await t.rejects(get(alice, theirs), { code: 'not-found' });
  await t.rejects(detach(alice, theirs, vmId), { code: 'not-found' }, 'it is not her drive');
  for (const who of [bob, admin]) {
    await t.rejects(list(who), { code: 'not-found' });
    await t.rejects(out(who), { code: 'not-found' });
  }
  await t.rejects(out(alice, theirs, bobsVm), { code: 'not-found' });
  await t.rejects(out(alice, 'drv00000000000000ff'), { code: 'not-found' });
  agent.failNext.set('drive.detach', new VmcError('busy', 'The guest does not let go.', 'Close it.'));
  await t.rejects(out(alice), { code: 'busy', hint: 'Close it.' });
  t.equal((await get(bob, theirs)).attachedTo, vmId);
  t.strictSame({ ...(await out(alice)) }, {}, 'nothing is said of the drive');
  t.strictSame(agent.vm(vmId).attached, []);
  t.equal((await get(bob, theirs)).attachedTo, undefined);
  await t.rejects(out(alice), { code: 'not-found', hint: /vm drive list/ });
  await attach(bob, theirs, bobsVm);
});

t.test('taken back while an attach waits: it is not attached', async (t) => {
  const { alice, agent, bob, bobsVm, driveId } = await withBob(t);
  await put(alice, driveId, 1);
  await share(alice, driveId, bob, 'rw');
  const gate = Promise.withResolvers<void>();
  agent.holdNext.set('vm.start', gate.promise);
  const starting = bob.client.call(routes.vmStart, { params: { vmId: bobsVm }, body: {} });
  await until(() => agent.calls.includes('vm.start'));
  // One has the drive's lock and waits for the VM's, sixteen wait for that one: the first that is refused tells so.
  const attaching = Array.from({ length: 18 }, () => attach(bob, driveId, bobsVm));
  const codes = attaching.map((it) => it.then(String, (error: VmcError) => error.code));
  t.equal(await Promise.race(codes), 'busy');
  await unshare(alice, driveId, bob);
  gate.resolve();
  await starting;
  t.strictSame((await Promise.all(codes)).sort(), ['busy', ...Array(17).fill('not-found')]);
  t.notOk(agent.calls.includes('drive.attach'));
});

t.test('H3: many at once, of several people: one writer, or any number of readers', async (t) => {
  const { fixture, admin, alice, agent, driveId } = await withBob(t);
  await put(alice, driveId, 1);
  const people = [alice];
  for (const name of ['cay', 'dan', 'eve']) {
    const person = await fixture.invited(admin, name);
    await share(alice, driveId, person, 'rw');
    people.push(person);
  }
  const vms: [Person, string][] = [];
  for (const person of people) for (const n of [1, 2, 3]) vms.push([person, await fixture.vm(person, `v${n}`)]);
  for (let round = 0; round < 4; round++) {
    const asked = vms.map(([person, vmId], n) => attach(person, driveId, vmId, (n + round) % 3 !== 0));
    const outcomes = await Promise.allSettled(asked);
    const held = [...agent.vms.values()].flatMap((vm) => vm.attached.filter((it) => it.driveId === driveId));
    const writers = held.filter((it) => !it.readOnly).length;
    t.ok(held.length > 0 && (writers === 0 || held.length === 1), `${held.length} attached, ${writers} to write`);
    t.equal(outcomes.filter((it) => it.status === 'fulfilled').length, held.length);
    const { attachments } = await get(alice, driveId);
    t.equal(attachments.length, held.length);
    for (const { vmId } of attachments) await detach(alice, driveId, vmId);
  }
});

t.test('a change of key: both are there until it is committed, for everybody', async (t) => {
  const { alice, bob, driveId } = await withBob(t);
  await t.rejects(stage(alice, driveId, [[alice, 5]]), { code: 'wrong-state', message: /No key/ });
  await put(alice, driveId, 1);
  await share(alice, driveId, bob, 'ro', 2);
  const whole: [Person, number][] = [
    [alice, 5],
    [bob, 6],
  ];
  await t.rejects(stage(alice, driveId, [[alice, 5]]), { code: 'bad-request', message: /everybody/ });
  await t.rejects(stage(alice, driveId, [...whole, [alice, 5]]), { code: 'bad-request' });
  await stage(alice, driveId, whole);
  await stage(alice, driveId, whole); // repeating it is fine
  await t.rejects(
    stage(alice, driveId, [
      [alice, 8],
      [bob, 6],
    ]),
    { code: 'busy', hint: /key change data/ },
  );
  t.match(await get(alice, driveId), { wrappedKey: key(1), nextWrappedKey: key(5) });
  t.match(await get(bob, driveId), { wrappedKey: key(2), nextWrappedKey: key(6) });
  await t.rejects(share(alice, driveId, bob, 'rw', 9), { code: 'busy' });
  await t.rejects(put(alice, driveId, 5), { code: 'already-exists' });
  await t.rejects(commit(alice, driveId, 8), { code: 'wrong-state' }, 'of a change that is not this one');
  await t.rejects(forget(alice, driveId, 8), { code: 'busy' });
  await commit(alice, driveId, 5);
  await commit(alice, driveId, 5);
  t.match(await get(bob, driveId), { wrappedKey: key(6), nextWrappedKey: undefined });
  t.match(await get(alice, driveId), { wrappedKey: key(5), nextWrappedKey: undefined });
  await t.rejects(forget(alice, driveId, 5), { code: 'wrong-state', message: /by now/ });
  t.match(await get(alice, driveId), { wrappedKey: key(5) });
});

t.test('a change that another device gave up is not committed, nor is its place taken', async (t) => {
  const { alice, bob, driveId } = await withBob(t);
  await put(alice, driveId, 1);
  await share(alice, driveId, bob, 'ro', 2);
  await stage(alice, driveId, [
    [alice, 5],
    [bob, 6],
  ]);
  await unshare(alice, driveId, bob);
  await forget(alice, driveId, 5);
  await forget(alice, driveId, 5);
  await t.rejects(commit(alice, driveId, 5), { code: 'wrong-state', message: /given up/, hint: /Keep the old/ });
  await stage(alice, driveId, [[alice, 7]]);
  await t.rejects(commit(alice, driveId, 5), { code: 'wrong-state' });
  t.match(await get(alice, driveId), { wrappedKey: key(1), nextWrappedKey: key(7) });
  await commit(alice, driveId, 7);
  await share(alice, driveId, bob, 'ro', 9);
  t.match(await get(bob, driveId), { wrappedKey: key(9) });
});

t.test(
  'header backups: the newest two, whole, of the largest size; larger ones and strangers are turned away',
  async (t) => {
    const { fixture, alice, driveId } = await agentScene(t);
    const at = { params: { driveId } };
    const store = (sealed: string) => alice.client.call(routes.driveHeaderPut, { ...at, body: { sealed } });
    const list = async () => (await alice.client.call(routes.driveHeaderGet, { ...at, body: {} })).backups;
    t.strictSame(await list(), []);
    const [first, second, third] = [SEALED_HEADER_MAX_BYTES, 2_000_000, SEALED_HEADER_MAX_BYTES].map(
      (size) => new Uint8Array(randomBytes(size)),
    ) as [Uint8Array, Uint8Array, Uint8Array];
    await store(toBase64(first));
    const { storedAt } = await store(toBase64(second));
    t.equal((await store(toBase64(second))).storedAt, storedAt, 'the same again pushes none out');
    t.ok(Buffer.from((await list())[1]?.sealed ?? []).equals(first));
    fixture.skewMs = -3_600_000; // the clock was put back
    await store(toBase64(third));
    const backups = await list();
    t.equal(backups.length, 2);
    t.ok(Buffer.from(backups[0]?.sealed ?? []).equals(third), 'newest first');
    t.ok(Buffer.from(backups[1]?.sealed ?? []).equals(second));
    const tooLarge = toBase64(new Uint8Array(SEALED_HEADER_MAX_BYTES + 1));
    await t.rejects(store(tooLarge), { code: 'bad-request' });
    t.equal(await statusOfUpload(fixture.backend.url, driveId), 401, 'a stranger is answered before they have sent it');
    t.equal((await list()).length, 2);
    const together = await Promise.allSettled([list(), list(), list(), list()]);
    const refused = together.filter((it) => it.status === 'rejected');
    t.ok(
      refused.length > 0 && refused.every((it) => (it.reason as { code: string }).code === 'limit'),
      'one at a time',
    );
    t.equal((await list()).length, 2);
  },
);

/** Sends a head that promises a large body, and none of it. */
function statusOfUpload(url: string, driveId: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(
      new URL(`/v1/drives/${driveId}/header`, url),
      {
        method: 'PUT',
        rejectUnauthorized: false,
        headers: { 'content-type': 'application/json', 'content-length': '6000000' },
      },
      (answer) => {
        resolve(answer.statusCode ?? 0);
        sent.destroy();
      },
    );
    sent.on('error', reject);
    sent.flushHeaders();
  });
}

t.test('a change of key for as many people as there may be fits into its request', async (t) => {
  const { alice, driveId } = await withBob(t);
  await put(alice, driveId, 1);
  const wrappedKey = toBase64(new Uint8Array(4096));
  const keys = Array.from({ length: 256 }, (_, n) => ({
    userId: `user-${String(n).padStart(12, '0')}`,
    wrappedKey,
  }));
  const staged = alice.client.call(routes.driveKeyStage, { params: { driveId }, body: { keys } });
  await t.rejects(staged, { code: 'bad-request', message: /everybody with whom the drive is shared/ });
});
