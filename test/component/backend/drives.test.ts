import t from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import { toBase64 } from '../../../shared/names.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import type { FakeAgent } from './fake-agent.ts';
import { Fixture, type Person, until } from './fixture.ts';

const get = (person: Person, driveId: string) => person.client.call(routes.driveGet, { params: { driveId }, body: {} });
const attach = (person: Person, driveId: string, vmId: string, readOnly = false) =>
  person.client.call(routes.driveAttach, { params: { driveId }, body: { vmId, readOnly } });
const detach = (person: Person, driveId: string, vmId?: string) =>
  person.client.call(routes.driveDetach, { params: { driveId }, body: vmId === undefined ? {} : { vmId } });
const erase = (person: Person, driveId: string) =>
  person.client.call(routes.driveDelete, { params: { driveId }, body: { confirm: driveId } });

interface Scene {
  fixture: Fixture;
  alice: Person;
  agent: FakeAgent;
  hostId: string;
  one: string;
  two: string;
  driveId: string;
}

async function scene(t: Parameters<typeof Fixture.start>[0]): Promise<Scene> {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const { agent, hostId } = await fixture.host(alice);
  const [one, two] = [await fixture.vm(alice, 'one'), await fixture.vm(alice, 'two')];
  return { fixture, alice, agent, hostId, one, two, driveId: await fixture.drive(alice, 'data') };
}

t.test('H3: read-write is exclusive, read-only may be many, never both', async (t) => {
  const { alice, agent, one, two, driveId } = await scene(t);
  t.match(await attach(alice, driveId, one), { attachedTo: one, readOnly: false });
  t.strictSame(agent.vm(one).attached, [{ driveId, readOnly: false }]);
  const busy = { code: 'busy', message: /attached to the VM one read-write/, hint: /detach/ };
  await t.rejects(attach(alice, driveId, two), busy);
  await t.rejects(attach(alice, driveId, two, true), busy);
  await t.rejects(attach(alice, driveId, one), busy);
  await t.rejects(erase(alice, driveId), busy);
  t.equal((await detach(alice, driveId)).attachedTo, undefined);
  await t.rejects(detach(alice, driveId), { code: 'wrong-state' });
  await attach(alice, driveId, one, true);
  t.equal((await attach(alice, driveId, two, true)).attachments.length, 2);
  await t.rejects(detach(alice, driveId), { code: 'bad-request', message: /several/ });
  await detach(alice, driveId, two);
  await t.rejects(attach(alice, driveId, two), { code: 'busy', message: /read-only/ });
  await detach(alice, driveId, one);
  await erase(alice, driveId);
  t.equal(agent.drives.size, 0);
  await t.rejects(get(alice, driveId), { code: 'not-found' });
});

t.test('H3: two at the same time: one wins', async (t) => {
  const { alice, agent, one, two, driveId } = await scene(t);
  const results = await Promise.allSettled([attach(alice, driveId, one), attach(alice, driveId, two)]);
  t.strictSame(results.map((it) => it.status).sort(), ['fulfilled', 'rejected']);
  t.equal(agent.calls.filter((it) => it === 'drive.attach').length, 1, 'the host was asked once');
});

t.test('a refused attach leaves the drive free', async (t) => {
  const { alice, agent, one, driveId } = await scene(t);
  agent.failNext.set('drive.attach', new VmcError('busy', 'The guest is booting.'));
  await t.rejects(attach(alice, driveId, one), { code: 'busy', message: /booting/ });
  t.equal((await get(alice, driveId)).attachedTo, undefined);
  t.equal((await attach(alice, driveId, one)).attachedTo, one);
  agent.failNext.set('drive.detach', new VmcError('busy', 'The guest holds it.'));
  await t.rejects(detach(alice, driveId), { code: 'busy' });
  t.equal((await get(alice, driveId)).attachedTo, one, 'a refused detach leaves it attached');
});

t.test('H9: cut between asking and answer: the next report settles it, both ways', async (t) => {
  const { fixture, alice, agent, hostId, one, two, driveId } = await scene(t);
  agent.cutNext.add('drive.attach');
  await t.rejects(attach(alice, driveId, one), { code: 'channel-closed' });
  await t.rejects(attach(alice, driveId, two), { code: 'busy' }, 'reserved until it is known');
  await fixture.linkAgent(alice, agent, hostId);
  await until(() => fixture.logged.some((it) => it.event.startsWith('attachments differ')));
  t.equal((await get(alice, driveId)).attachedTo, one);
  agent.cutNext.add('drive.detach');
  await t.rejects(detach(alice, driveId), { code: 'channel-closed' });
  t.equal((await get(alice, driveId)).attachedTo, one);
  await fixture.linkAgent(alice, agent, hostId);
  await until(async () => (await get(alice, driveId)).attachedTo === undefined);
});

t.test("H10: what the host's own CLI did is followed", async (t) => {
  const { alice, agent, one, driveId } = await scene(t);
  agent.vm(one).attached.push({ driveId, readOnly: true });
  await agent.report();
  await until(async () => (await get(alice, driveId)).attachedTo === one);
  agent.vm(one).attached.length = 0;
  await agent.report();
  await until(async () => (await get(alice, driveId)).attachedTo === undefined);
});

t.test("a host's word counts for its own drives only", async (t) => {
  const { fixture, alice, driveId } = await scene(t);
  const { agent, hostId } = await fixture.host(alice, 'elsewhere');
  const create = { name: 'far', image: 'debian-12', hostId };
  const { vmId } = await alice.client.call(routes.vmCreate, { params: {}, body: create });
  const near = { name: 'near', sizeBytes: 2 ** 30, hostId };
  const own = await alice.client.call(routes.driveCreate, { params: {}, body: near });
  agent.vm(vmId).attached.push({ driveId, readOnly: false }, { driveId: own.driveId, readOnly: false });
  await agent.report();
  await until(async () => (await get(alice, own.driveId)).attachedTo === vmId);
  t.equal((await get(alice, driveId)).attachedTo, undefined, 'the drive of another host is not blocked');
  await erase(alice, driveId);
});

t.test('a drive whose making fails leaves nothing', async (t) => {
  const { fixture, alice, agent, hostId } = await scene(t);
  agent.failNext.set('drive.create', new VmcError('no-space', 'The pool is full.'));
  await t.rejects(fixture.drive(alice, 'more'), { code: 'no-space' });
  const list = async () => (await alice.client.call(routes.driveList, { params: {}, body: {} })).drives;
  t.equal((await list()).length, 1);
  agent.cutNext.add('drive.create');
  await t.rejects(fixture.drive(alice, 'more'), { code: 'channel-closed' });
  const left = (await list()).find((it) => it.name === 'more');
  t.ok(left, 'what may be there stays listed');
  await fixture.linkAgent(alice, agent, hostId);
  const [one] = [...agent.vms.keys()];
  await t.rejects(attach(alice, left?.driveId ?? '', one ?? ''), { code: 'wrong-state', hint: /Delete/ });
  await erase(alice, left?.driveId ?? '');
  t.equal(agent.drives.size, 1);
});

t.test('a key is put once; only its person gets it', async (t) => {
  const { alice, driveId } = await scene(t);
  const put = (bytes: Uint8Array) =>
    alice.client.call(routes.drivePutKey, { params: { driveId }, body: { wrappedKey: toBase64(bytes) } });
  const key = new Uint8Array(1200).fill(7);
  await put(key);
  await put(key); // repeating it is fine
  await t.rejects(put(new Uint8Array(1200).fill(8)), { code: 'already-exists', message: /lost/ });
  t.strictSame((await get(alice, driveId)).wrappedKey, key);
});

t.test('usage, a confirmation that does not fit, deleting a VM frees its drives', async (t) => {
  const { alice, one, driveId } = await scene(t);
  const usage = await alice.client.call(routes.driveUsage, { params: { driveId }, body: {} });
  t.strictSame(usage, { sizeBytes: 2 ** 30, allocatedBytes: 200_704 });
  await t.rejects(
    alice.client.call(routes.driveDelete, { params: { driveId }, body: { confirm: 'drv0000000000000000' } }),
    { code: 'bad-request' },
  );
  await attach(alice, driveId, one);
  await alice.client.call(routes.vmShutdown, { params: { vmId: one }, body: {} });
  await alice.client.call(routes.vmDelete, { params: { vmId: one }, body: {} });
  t.equal((await get(alice, driveId)).attachedTo, undefined);
});

t.test('a VM that its host has lost: what was under way is forgotten, what was attached is not', async (t) => {
  const { fixture, alice, agent, hostId, one, two, driveId } = await scene(t);
  const other = await fixture.drive(alice, 'other');
  await attach(alice, driveId, one);
  agent.cutNext.add('drive.attach');
  await t.rejects(attach(alice, other, two), { code: 'channel-closed' });
  agent.vms.clear();
  await fixture.linkAgent(alice, agent, hostId);
  await until(async () => (await get(alice, other)).attachedTo === undefined);
  t.equal((await get(alice, driveId)).attachedTo, one);
});
