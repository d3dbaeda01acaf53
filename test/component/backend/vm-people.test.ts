/** C3: the backend opens the door to the people of a VM, and decides nothing of what they may do inside. */
import t from 'tap';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { Fixture, type Person } from './fixture.ts';

const empty = { params: {}, body: {} };

t.test('C3 people who were added reach the VM; who may invite is bounded; the owner stands above', async (t) => {
  const fixture = await Fixture.start(t);
  const admin = await fixture.firstPerson('admin');
  const { agent } = await fixture.host(admin);
  const alice = await fixture.invited(admin, 'alice');
  const [bob, cay, dan] = [
    await fixture.invited(admin, 'bob'),
    await fixture.invited(admin, 'cay'),
    await fixture.invited(admin, 'dan'),
  ];
  const vmId = await fixture.vm(alice, 'work');
  await fixture.enrol(agent, vmId);
  const put = (by: Person, who: Person, mayInvite = false) =>
    by.client.call(routes.vmPersonPut, { params: { vmId, userId: who.userId }, body: { mayInvite } });
  const remove = (by: Person, who: Person) =>
    by.client.call(routes.vmPersonRemove, { params: { vmId, userId: who.userId }, body: {} });
  const list = (by: Person) => by.client.call(routes.vmPeopleList, { params: { vmId }, body: {} });
  const mine = async (who: Person) => (await who.client.call(routes.vmList, empty)).vms.map((vm) => vm.vmId);
  const ticket = (who: Person) => who.client.call(routes.relayTicket, { params: { vmId }, body: {} });
  const vmParams = { params: { vmId }, body: {} };

  for (const attempt of [() => put(bob, bob), () => remove(bob, bob), () => list(bob), () => put(admin, bob)])
    await t.rejects(
      async () => void (await attempt()),
      { code: 'not-found' },
      'for strangers, administrators too, there is no such VM',
    );
  await t.rejects(ticket(bob), { code: 'forbidden' });

  await put(alice, bob);
  t.same(await mine(bob), [vmId]);
  t.equal((await ticket(bob)).relays.length, 1);
  t.equal((await bob.client.call(routes.vmGet, vmParams)).ownerId, alice.userId);
  const { endpointId } = await bob.client.call(routes.endpointOpen, vmParams);
  for (const route of [routes.vmStart, routes.vmShutdown, routes.vmDelete])
    await t.rejects(bob.client.call(route, vmParams), { code: 'not-found' }, 'power stays with the owner');
  await t.rejects(put(bob, cay), { code: 'forbidden' });
  await t.rejects(list(bob), { code: 'forbidden' });
  await t.rejects(remove(bob, alice), { code: 'forbidden' });

  await put(alice, bob, true);
  await put(alice, dan, true);
  await put(bob, cay, true);
  t.match(await list(bob), {
    people: [
      { name: 'bob', mayInvite: true, addedBy: alice.userId },
      { name: 'dan', mayInvite: true },
      { name: 'cay', mayInvite: true, addedBy: bob.userId },
    ],
  });
  const [shown] = (await list(alice)).people;
  t.equal(fingerprint(shown?.identity.ed25519 as never), fingerprint(bob.identity.public.ed25519));
  await t.rejects(remove(bob, dan), { code: 'forbidden' }, 'not another who may invite');
  await t.rejects(put(cay, bob), { code: 'forbidden' }, 'nor is that taken from one');
  await t.rejects(put(bob, alice), { code: 'already-exists' });
  await remove(bob, cay);
  await t.rejects(ticket(cay), { code: 'forbidden' });
  t.same(await mine(cay), []);
  await remove(dan, dan);
  t.same(await mine(dan), [], 'everybody may go');
  await remove(alice, bob);
  const gone = bob.client.call(routes.endpointClose, { params: { endpointId }, body: {} });
  await t.rejects(gone, { code: 'not-found' }, 'their endpoint has closed');
  await remove(alice, bob);
  await t.rejects(ticket(bob), { code: 'forbidden' });
  await t.rejects(alice.client.call(routes.vmPersonPut, { params: { vmId, userId: 'user-000000000000' }, body: {} }), {
    code: 'not-found',
  });

  await put(alice, bob);
  await alice.client.call(routes.vmShutdown, { params: { vmId }, body: { force: true } });
  await alice.client.call(routes.vmDelete, vmParams);
  t.same(await mine(bob), [], 'a VM takes its people with it');
});
