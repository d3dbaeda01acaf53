import t from 'tap';
import { openStore } from '../../../backend/store/store.ts';
import type { VmcError } from '../../../shared/errors.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { Fixture, type Person, until } from './fixture.ts';

const [TOOLS, OTHER] = ['iso00000000000000a1', 'iso00000000000000b2'];

const list = async (person: Person, vmId: string) =>
  (await person.client.call(routes.isoList, { params: { vmId }, body: {} })).isos;
const attach = (person: Person, vmId: string, isoId: string) =>
  person.client.call(routes.isoAttach, { params: { vmId, isoId }, body: {} });
const eject = (person: Person, vmId: string, isoId: string) =>
  person.client.call(routes.isoEject, { params: { vmId, isoId }, body: {} });

async function scene(t: Parameters<typeof Fixture.start>[0]) {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const { agent, hostId } = await fixture.host(alice);
  agent.isos.set(TOOLS, { name: 'tools', sizeBytes: 4096 }).set(OTHER, { name: 'other-1.0', sizeBytes: 8192 });
  return { fixture, alice, agent, hostId, vmId: await fixture.vm(alice, 'one') };
}

t.test('C14: the owner sees the images of the VM’s host, and puts them in and out', async (t) => {
  const { alice, agent, vmId } = await scene(t);
  t.strictSame(await list(alice, vmId), [
    { isoId: TOOLS, name: 'tools', sizeBytes: 4096, attached: false },
    { isoId: OTHER, name: 'other-1.0', sizeBytes: 8192, attached: false },
  ]);
  await attach(alice, vmId, TOOLS);
  await attach(alice, vmId, TOOLS);
  t.strictSame(
    (await list(alice, vmId)).map((it) => it.attached),
    [true, false],
  );
  const two = await alice.client.call(routes.vmCreate, { params: {}, body: { name: 'two', image: 'debian-12' } });
  await attach(alice, two.vmId, TOOLS);
  t.strictSame(agent.vm(two.vmId).isos, [TOOLS], 'several VMs may have it');
  await eject(alice, vmId, TOOLS);
  t.ok((await list(alice, vmId)).every((it) => !it.attached));
  await t.rejects(attach(alice, vmId, 'iso00000000000000ff'), { code: 'not-found' });
});

t.test('C14: for nobody else, an administrator neither; and all of it is audited', async (t) => {
  const { fixture, alice, agent, vmId } = await scene(t);
  const bob = await fixture.invited(alice, 'bob');
  const bobs = await fixture.vm(bob, 'his');
  const before = agent.calls.filter((it) => it.startsWith('iso.')).length;
  for (const [person, id] of [
    [bob, vmId],
    [alice, bobs], // she is the super-admin
  ] as const)
    for (const work of [() => list(person, id), () => attach(person, id, TOOLS), () => eject(person, id, TOOLS)])
      await t.rejects(async () => work(), { code: 'not-found' });
  t.equal(agent.calls.filter((it) => it.startsWith('iso.')).length, before, 'the host was not even asked');
  const starting = Promise.withResolvers<void>();
  agent.holdNext.set('vm.start', starting.promise);
  const started = alice.client.call(routes.vmStart, { params: { vmId }, body: {} }).then(() => 'started');
  await until(() => agent.calls.includes('vm.start'));
  const refused = [attach, eject].map((it) => it(bob, vmId, TOOLS).catch((error: VmcError) => error.code));
  const timer = setTimeout(starting.resolve, 5000); // they would wait for it
  t.strictSame(await Promise.race([Promise.all(refused), started]), ['not-found', 'not-found'], 'and nobody waited');
  clearTimeout(timer);
  starting.resolve();
  await started;
  await attach(bob, bobs, TOOLS);
  const store = openStore(fixture.stateDir);
  t.teardown(() => store.close());
  const entries = store.audit.latest(1000).filter((it) => it.action.startsWith('iso'));
  const about = entries.map((it) => `${it.action} ${it.target} ${it.result}`);
  t.ok(about.includes(`isoAttach ${bobs} ok`));
  t.ok(about.includes(`isoEject ${vmId} not-found`));
});

t.test('an image in a VM is no drive: reports that tell of it have nothing to be settled', async (t) => {
  const { fixture, alice, agent, vmId } = await scene(t);
  await attach(alice, vmId, TOOLS);
  const driveId = await fixture.drive(alice, 'data');
  await alice.client.call(routes.driveAttach, { params: { driveId }, body: { vmId, readOnly: false } });
  await agent.report();
  agent.memoryFreeBytes = 5e9; // the next report shows by this that the first has been worked on
  await agent.report();
  await until(async () => {
    const { hosts } = await alice.client.call(routes.hostList, { params: {}, body: {} });
    return hosts[0]?.report?.utilisation.memoryFreeBytes === 5e9;
  });
  t.notOk(fixture.logged.some((it) => it.event.startsWith('attachments differ')));
  t.equal((await list(alice, vmId))[0]?.attached, true);
});
