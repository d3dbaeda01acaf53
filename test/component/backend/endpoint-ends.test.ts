/** B3: whatever takes somebody's way to a VM closes their endpoints and cuts the streams through them. */
import { createServer } from 'node:net';
import t, { type Test } from 'tap';
import { Endpoints } from '../../../backend/endpoints/endpoints.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { endOf, exchange, holdStream, startPeer } from './endpoint-peers.ts';
import { Fixture, type Person, until } from './fixture.ts';
import { parseMetrics } from './parse-metrics.ts';

/** A VM of alice's that runs, and leads to an echo server. */
async function running(t: Test) {
  // Ports that no other test has, so that a closed one is not opened again by somebody else.
  const fixture = await Fixture.start(t, {
    endpoints: { address: '127.0.0.1', firstPort: 26300, lastPort: 26349 },
    metrics: { port: 0 },
  });
  const alice = await fixture.firstPerson();
  const { agent } = await fixture.host(alice);
  const peer = await startPeer(t);
  agent.hostPort = peer.port;
  const vmId = await fixture.vm(alice, 'work');
  const open = (who: Person) => who.client.call(routes.endpointOpen, { params: { vmId }, body: {} });
  const list = async (who: Person) =>
    (await who.client.call(routes.endpointList, { params: {}, body: {} })).endpoints.map((it) => it.endpointId);
  const letIn = (who: Person) =>
    alice.client.call(routes.vmPersonPut, { params: { vmId, userId: who.userId }, body: {} });
  return { fixture, agent, alice, vmId, peer, open, list, letIn };
}

/** Opens one, runs `end`, and expects the stream through it cut, the port closed and the VM's side closed. */
async function endsWith(t: Test, site: Awaited<ReturnType<typeof running>>, who: Person, end: () => Promise<unknown>) {
  const { port } = await site.open(who);
  const cut = endOf(await holdStream(port));
  await end();
  t.equal(await cut, 'ECONNRESET', 'the stream is cut');
  await t.rejects(exchange(port, Buffer.from('x')), { code: 'ECONNREFUSED' }, 'the port is closed');
  await until(() => site.peer.sockets.size === 0);
}

t.test('a person who is removed from a VM, and one who goes', async (t) => {
  const site = await running(t);
  const bob = await site.fixture.invited(site.alice, 'bob');
  const stays = await site.open(site.alice);
  const params = { vmId: site.vmId, userId: bob.userId };
  for (const remover of [site.alice, bob]) {
    await site.letIn(bob);
    await endsWith(t, site, bob, () => remover.client.call(routes.vmPersonRemove, { params, body: {} }));
    await t.rejects(site.open(bob), { code: 'not-found' });
  }
  t.strictSame(await site.list(site.alice), [stays.endpointId], "the owner's is not touched");
});

t.test('a VM that is deleted', async (t) => {
  const site = await running(t);
  await endsWith(t, site, site.alice, async () => {
    const params = { vmId: site.vmId };
    await site.alice.client.call(routes.vmShutdown, { params, body: { force: true } });
    await site.alice.client.call(routes.vmDelete, { params, body: {} });
  });
});

t.test('sign-out; another session of the same person keeps its own', async (t) => {
  const site = await running(t);
  const elsewhere = { ...site.alice, client: site.fixture.client() };
  await elsewhere.client.signIn(site.alice.identity);
  const stays = await site.open(elsewhere);
  await endsWith(t, site, site.alice, () => site.alice.client.signOut());
  t.strictSame(await site.list(elsewhere), [stays.endpointId]);
});

t.test('a session that has to make place for newer ones', async (t) => {
  const site = await running(t);
  await endsWith(t, site, site.alice, async () => {
    const newer = site.fixture.client();
    for (let i = 0; i < 64; i++) await newer.signIn(site.alice.identity);
  });
});

t.test('the end of the session in time, also before a timer fires: no new stream', async (t) => {
  const site = await running(t);
  const { port } = await site.open(site.alice);
  t.equal((await exchange(port, Buffer.from('x'))).toString(), 'x');
  site.fixture.skewMs = 12 * 3_600_000;
  await t.rejects(exchange(port, Buffer.from('x')), { code: 'ECONNRESET' });
});

t.test('the backend that stops', async (t) => {
  const site = await running(t);
  await endsWith(t, site, site.alice, () => site.fixture.backend.close());
  await site.fixture.startBackend(); // for the fixture's own end
});

t.test('one that had to close before it listened never listens, also when its port is taken', async (t) => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(26350, '127.0.0.1', resolve));
  t.teardown(() => taken.close());
  const endpoints = new Endpoints(
    { address: '127.0.0.1', firstPort: 26350, lastPort: 26351, idleSeconds: 60, perUser: 2, streams: 1 },
    Date.now,
  );
  t.teardown(() => endpoints.closeAll());
  const request = {
    userId: 'user-1',
    sessionId: 'session-1',
    vmId: 'vm-1',
    sourceAddress: '127.0.0.1',
    expiresAt: Date.now() + 60_000,
    target: () => undefined,
  };
  // It begins at a port by chance: in some of these rounds with the one that another program has.
  for (let round = 0; round < 20; round++) {
    const opening = endpoints.open(request);
    await Promise.all([t.rejects(opening, { code: 'cancelled' }), endpoints.closeOfPerson('vm-1', 'user-1')]);
    await t.rejects(exchange(26351, Buffer.from('x')), { code: 'ECONNREFUSED' });
  }
  t.equal((await endpoints.open(request)).port, 26351, 'nothing is kept of the others');
  t.match(endpoints.metrics, { endpoints: 1, streams: 0 });
});

t.test(
  'list: streams and bytes of one’s own, of everybody for administrators, who may close them; metrics',
  async (t) => {
    const site = await running(t);
    const [bob, cay] = [await site.fixture.invited(site.alice, 'bob'), await site.fixture.invited(site.alice, 'cay')];
    await site.letIn(bob);
    const { endpointId, port } = await site.open(bob);
    await exchange(port, Buffer.alloc(5000));
    const held = await holdStream(port);
    const { endpoints } = await bob.client.call(routes.endpointList, { params: {}, body: {} });
    t.match(endpoints, [{ endpointId, port, userId: bob.userId, vmId: site.vmId, sourceAddress: '127.0.0.1' }]);
    t.match(endpoints, [{ streams: 1, streamsTotal: 2, bytesIn: 5001, bytesOut: 5001 }]);
    t.strictSame(await site.list(site.alice), [endpointId]);
    t.strictSame(await site.list(cay), []);
    const close = (who: Person) => who.client.call(routes.endpointClose, { params: { endpointId }, body: {} });
    await t.rejects(close(cay), { code: 'not-found' });
    const cut = endOf(held);
    await close(site.alice);
    t.equal(await cut, 'ECONNRESET');
    t.strictSame(await site.list(bob), []);

    const answer = await fetch(`http://127.0.0.1:${site.fixture.backend.metricsPort}/metrics`);
    const metrics = parseMetrics(await answer.text());
    const value = (name: string, labels = '') => metrics.get(`vmc_endpoint${name}`)?.samples.get(labels);
    t.strictSame([value('s'), value('s_total'), value('_streams'), value('_streams_total')], [0, 1, 0, 2]);
    t.strictSame(
      [value('_bytes_total', 'direction="to_vm"'), value('_bytes_total', 'direction="to_user"')],
      [5001, 5001],
    );
    t.equal(value('_refused_total', 'reason="address"'), 0);
  },
);
