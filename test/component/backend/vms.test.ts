import t from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { Fixture, type Person, until } from './fixture.ts';

const empty = { params: {}, body: {} };
const get = async (person: Person, vmId: string) => person.client.call(routes.vmGet, { params: { vmId }, body: {} });
const create = (person: Person, name: string, hostId?: string) =>
  person.client.call(routes.vmCreate, {
    params: {},
    body: { name, image: 'debian-12', ...(hostId === undefined ? {} : { hostId }) },
  });

t.test('B2: a VM is made, enrols, and is powered and deleted', async (t) => {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const { agent, hostId } = await fixture.host(alice);
  const vm = await create(alice, 'work');
  t.match(vm, { name: 'work', state: 'running', ready: false, hostId, ownerId: alice.userId });
  const bootstrap = agent.specs[0]?.bootstrap;
  t.match(bootstrap, { vm: { id: vm.vmId, name: 'work' }, backend: { url: fixture.backend.url } });
  t.equal(bootstrap?.backend.pin, fixture.backend.pin);
  t.strictSame(bootstrap?.owner, alice.identity.public, 'the owner is told whole');

  const { vmId } = vm;
  const shut = await alice.client.call(routes.vmShutdown, { params: { vmId }, body: { waitSeconds: 1 } });
  t.equal(shut.state, 'off');
  t.equal((await alice.client.call(routes.vmStart, { params: { vmId }, body: {} })).state, 'running');
  await t.rejects(alice.client.call(routes.vmDelete, { params: { vmId }, body: {} }), { code: 'wrong-state' });
  await alice.client.call(routes.vmShutdown, { params: { vmId }, body: {} });
  await alice.client.call(routes.vmDelete, { params: { vmId }, body: {} });
  await t.rejects(get(alice, vmId), { code: 'not-found' });
  t.equal(agent.vms.size, 0);
});

t.test('C3: keys are enrolled once; the token is not enough for others', async (t) => {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const { agent } = await fixture.host(alice);
  const vmId = await fixture.vm(alice, 'work');
  const token = agent.specs[0]?.bootstrap.enrolToken ?? new Uint8Array();
  const stranger = fixture.client();
  await t.rejects(stranger.enrolVm(generateIdentity(), vmId, new Uint8Array(32)), { code: 'unauthenticated' });
  await t.rejects(stranger.enrolVm(generateIdentity(), 'vm-000000000000', token), { code: 'unauthenticated' });
  const identity = await fixture.enrol(agent, vmId);
  await stranger.enrolVm(identity, vmId, token); // repeating it is fine
  await t.rejects(stranger.enrolVm(generateIdentity(), vmId, token), { code: 'forbidden', message: /learned once/ });
  t.strictSame((await get(alice, vmId)).identity, identity.public);
});

t.test('a second user sees and touches nothing of the first; an administrator sees and powers', async (t) => {
  const fixture = await Fixture.start(t);
  const admin = await fixture.firstPerson('admin');
  await fixture.host(admin);
  const alice = await fixture.invited(admin, 'alice');
  const bob = await fixture.invited(admin, 'bob');
  const vmId = await fixture.vm(alice, 'work');
  const driveId = await fixture.drive(alice, 'data');
  const vmParams = { params: { vmId }, body: {} };
  const driveParams = { params: { driveId }, body: {} };
  const attempts = (person: Person): Record<string, () => Promise<unknown>> => ({
    endpoint: () => person.client.call(routes.endpointOpen, vmParams),
    delete: () => person.client.call(routes.vmDelete, vmParams),
    drive: () => person.client.call(routes.driveGet, driveParams),
    usage: () => person.client.call(routes.driveUsage, driveParams),
    key: () => person.client.call(routes.drivePutKey, { params: { driveId }, body: { wrappedKey: 'AAAA' } }),
    attach: () => person.client.call(routes.driveAttach, { params: { driveId }, body: { vmId } }),
    detach: () => person.client.call(routes.driveDetach, driveParams),
    erase: () => person.client.call(routes.driveDelete, { params: { driveId }, body: { confirm: driveId } }),
  });
  for (const [who, person] of Object.entries({ bob, admin }))
    for (const [what, attempt] of Object.entries(attempts(person)))
      await t.rejects(attempt(), { code: 'not-found' }, `${who}: ${what}`);
  for (const route of [routes.vmGet, routes.vmStart, routes.vmShutdown])
    await t.rejects(bob.client.call(route, vmParams), { code: 'not-found' });
  const refusal = async (id: string) => String(await get(bob, id).catch((error) => error.message)).replace(id, 'ID');
  t.equal(await refusal(vmId), await refusal('vm-000000000000'), "somebody else's looks like none");
  t.equal((await bob.client.call(routes.vmList, empty)).vms.length, 0);
  t.equal((await bob.client.call(routes.driveList, empty)).drives.length, 0);
  t.equal((await admin.client.call(routes.vmList, empty)).vms.length, 1);
  t.equal((await admin.client.call(routes.vmShutdown, vmParams)).state, 'off');
  const { hosts } = await bob.client.call(routes.hostList, empty);
  t.equal(hosts[0]?.report, undefined, 'reports name the VMs of all: not for users');
});

t.test('no host, an unknown host, a host that is down', async (t) => {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  await t.rejects(create(alice, 'work'), { code: 'unreachable', hint: /host add/ });
  await t.rejects(create(alice, 'work', 'host-000000000000'), { code: 'not-found', message: /no host/ });
  const { agent, hostId } = await fixture.host(alice);
  const vmId = await fixture.vm(alice, 'work');
  agent.unlink();
  await until(async () => (await get(alice, vmId)).state === 'unknown');
  t.equal((await alice.client.call(routes.hostList, empty)).hosts[0]?.state, 'down');
  await t.rejects(create(alice, 'other', hostId), { code: 'unreachable', hint: /doctor/ });
  await t.rejects(alice.client.call(routes.vmStart, { params: { vmId }, body: {} }), { code: 'unreachable' });
  await fixture.linkAgent(alice, agent, hostId);
  t.equal((await get(alice, vmId)).state, 'running');
});

t.test('of two hosts the one with more free memory gets the VM; a new link replaces the old', async (t) => {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const small = await fixture.host(alice, 'small');
  const big = await fixture.host(alice, 'big');
  big.agent.memoryFreeBytes = 32e9;
  await big.agent.report();
  await until(async () => {
    const { hosts } = await alice.client.call(routes.hostList, empty);
    return hosts.some((it) => it.report?.utilisation.memoryFreeBytes === 32e9);
  });
  t.equal((await create(alice, 'one')).hostId, big.hostId);
  t.equal((await create(alice, 'two', small.hostId)).hostId, small.hostId);
  await fixture.linkAgent(alice, big.agent, big.hostId);
  t.equal((await create(alice, 'three', big.hostId)).state, 'running', 'over the new link');
});

t.test('H9: why a VM is paused is told, and what helps, until it goes on', async (t) => {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const { agent } = await fixture.host(alice);
  const { vmId } = await create(alice, 'work');
  for (const [because, remedy] of [
    ['no-space', /pool .* is full.*goes on by itself.*snapshots/],
    ['io-error', /failed.*administrator/],
  ] as const) {
    Object.assign(agent.vm(vmId), { state: 'paused', pausedBecause: because });
    await agent.report();
    await until(async () => (await get(alice, vmId)).pausedBecause === because);
    t.match(await get(alice, vmId), { state: 'paused', problem: remedy });
  }
  Object.assign(agent.vm(vmId), { state: 'running', pausedBecause: undefined });
  await agent.report();
  await until(async () => (await get(alice, vmId)).state === 'running');
  const { problem, pausedBecause } = await get(alice, vmId);
  t.strictSame([problem, pausedBecause], [undefined, undefined]);
});

t.test('H9: a report of 500 VMs with drives is taken', async (t) => {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const { agent } = await fixture.host(alice);
  const { vmId } = await create(alice, 'work');
  const id = (i: number, digits: number) => i.toString(16).padStart(digits, '0');
  const attached = Array.from({ length: 8 }, (_, i) => ({ driveId: `drv${id(i, 16)}`, readOnly: true }));
  for (let i = 0; i < 499; i++)
    agent.vms.set(`vm-${id(i, 12)}`, { vmId: `vm-${id(i, 12)}`, state: 'running', attached });
  agent.vm(vmId).state = 'paused';
  await agent.report();
  await until(async () => (await get(alice, vmId)).state === 'paused');
  t.equal((await alice.client.call(routes.hostList, empty)).hosts[0]?.report?.vms.length, 500);
});

t.test('a host enrols once, and its link needs its key', async (t) => {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const { agent, hostId } = await fixture.host(alice);
  await t.rejects(fixture.client().enrolHost(generateIdentity(), hostId, new Uint8Array(32), '127.0.0.1'), {
    code: 'unauthenticated',
  });
  await t.rejects(alice.client.call(routes.hostAdd, { params: {}, body: { name: 'vmhost' } }), {
    code: 'already-exists',
  });
  const stranger = await fixture.client().openHostLink(generateIdentity(), hostId);
  const code = await new Promise((resolve) => {
    stranger.once('close', resolve);
    stranger.resume();
  });
  t.equal(code, 4401);
  t.equal((await create(alice, 'work')).state, 'running', 'the real one is still linked');
  t.equal(agent.specs.length, 1);
});

t.test('a VM whose making fails keeps the problem and can be deleted', async (t) => {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const { agent } = await fixture.host(alice);
  agent.failNext.set('vm.create', new VmcError('no-space', 'The pool is full.', 'Make room.'));
  await t.rejects(create(alice, 'work'), { code: 'no-space', hint: 'Make room.' });
  const [vm] = (await alice.client.call(routes.vmList, empty)).vms;
  t.match(vm, { state: 'creating', problem: 'The pool is full.' });
  const params = { vmId: vm?.vmId ?? '' };
  await t.rejects(alice.client.call(routes.vmStart, { params, body: {} }), { code: 'wrong-state', message: /full/ });
  await t.rejects(create(alice, 'work'), { code: 'already-exists', message: /work/ });
  await alice.client.call(routes.vmDelete, { params, body: {} });
  t.equal((await create(alice, 'work')).state, 'running');
});

t.test('an answer that was lost: the next report settles the VM', async (t) => {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const { agent, hostId } = await fixture.host(alice);
  agent.cutNext.add('vm.create');
  await t.rejects(create(alice, 'work'), { code: 'channel-closed' });
  const vmId = [...agent.vms.keys()][0] ?? '';
  t.equal((await get(alice, vmId)).state, 'creating');
  await fixture.linkAgent(alice, agent, hostId);
  await until(async () => (await get(alice, vmId)).state === 'running');
  t.equal((await get(alice, vmId)).problem, undefined);
});

t.test('a host is never at an address that only the backend itself can reach', async (t) => {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const { hostId, enrolToken } = await alice.client.call(routes.hostAdd, { params: {}, body: { name: 'vmhost' } });
  const token = new Uint8Array(Buffer.from(enrolToken, 'base64'));
  const identity = generateIdentity();
  for (const address of ['169.254.169.254', '0.0.0.0', '224.0.0.1', '255.255.255.255'])
    await t.rejects(fixture.client().enrolHost(identity, hostId, token, address), { code: 'bad-request' }, address);
  await fixture.client().enrolHost(identity, hostId, token, '127.0.0.1'); // from loopback itself, as here
  await t.rejects(fixture.client().enrolHost(identity, hostId, token, '169.254.169.254'), { code: 'bad-request' });
});
