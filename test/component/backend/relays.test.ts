/** Relays that run by themselves: two processes beside one rest. */

import { once } from 'node:events';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { WebSocket } from 'ws';
import { initStateFolder } from '../../../backend/state-folder.ts';
import { initTicketKey } from '../../../backend/tickets/ticket-key.ts';
import { makeBackoff } from '../../../shared/backoff.ts';
import { toBase64 } from '../../../shared/names.ts';
import { orderRelays } from '../../../shared/relay/order.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { makePark } from '../../../vmc/relay-client/park.ts';
import { RelayAccessKeeper } from '../../../vmc/relay-client/relay-access.ts';
import { RelayClient } from '../../../vmc/relay-client/relay-client.ts';
import { Fixture, type Person, until } from './fixture.ts';
import { RelayProcess } from './relay-process.ts';

interface Site {
  fixture: Fixture;
  /** In the order in which this VM tries them. */
  relays: RelayProcess[];
  alice: Person;
  vmId: string;
  client: RelayClient;
  /** The VM's ends of pairs. */
  served: WebSocket[];
}

async function site(t: Test): Promise<Site> {
  const folder = t.testdir();
  const processes: RelayProcess[] = [];
  t.teardown(() => Promise.all(processes.map((it) => it.stop('SIGKILL'))));
  const fixture = await Fixture.start(t, async (stateDir) => {
    await initStateFolder(stateDir, new Date());
    const ticketKey = toBase64((await initTicketKey(stateDir)).public);
    for (const name of ['one', 'two']) processes.push(new RelayProcess(join(folder, name), ticketKey));
    await Promise.all(processes.map((it) => it.start()));
    return { relay: { embedded: false, others: processes.map(({ url, pin }) => ({ url, pin })) } };
  });
  const alice = await fixture.firstPerson();
  const { agent } = await fixture.host(alice);
  const vmId = await fixture.vm(alice, 'work');
  const identity = await fixture.enrol(agent, vmId);
  const served: WebSocket[] = [];
  const vmClient = fixture.client();
  const enrolToken = agent.specs[0]?.bootstrap.enrolToken ?? new Uint8Array();
  const log = { info() {}, warn() {}, error() {} };
  const access = new RelayAccessKeeper({
    ...{ client: vmClient, identity, vmId, enrolToken, stateDir: folder, log },
    stored: undefined,
    setRelays: () => {},
    clock: Date.now,
  });
  const random = () => 0;
  const client = new RelayClient({
    park: makePark({ client: vmClient, firewall: { admit: async () => {} }, access, identity, vmId, random }),
    serve: (socket) => void served.push(socket),
    onParked: () => {},
    onTrouble: () => {},
    backoff: makeBackoff(random),
    clock: () => performance.now(),
  });
  client.start();
  t.teardown(() => client.stop());
  const relays = orderRelays(vmId, processes);
  return { fixture, relays, alice, vmId, client, served };
}

const parkedAt = async (relay: RelayProcess | undefined) =>
  /^vmc_relay_parked_sockets (\d+)$/m.exec((await relay?.metrics()) ?? '')?.[1];

/** A message from the user's end of a new pair to the VM's. */
async function talk({ alice, vmId, served }: Site, text: string): Promise<string> {
  const before = served.length;
  const user = await alice.client.openRelayToVm(vmId);
  await until(() => served.length > before);
  const vm = served.at(-1) as WebSocket;
  const heard = once(vm, 'message');
  vm.resume();
  user.send(Buffer.from(text));
  const [data] = await heard;
  user.terminate();
  return String(data);
}

t.test(
  'B1 C1: two relays beside one rest: the VM parks at one; when that dies all moves to the other, and back',
  async (t) => {
    const it = await site(t);
    const { relays, alice, vmId, fixture } = it;
    const [first, second] = relays as [RelayProcess, RelayProcess];
    const ready = async () => (await alice.client.call(routes.vmGet, { params: { vmId }, body: {} })).ready;
    await until(ready, 20_000);
    t.strictSame([await parkedAt(first), await parkedAt(second)], ['1', '0'], 'both sides have one order');
    t.equal(await talk(it, 'through the first'), 'through the first');

    await first.stop('SIGKILL');
    await until(async () => (await parkedAt(second)) === '1', 20_000);
    t.equal(await talk(it, 'through the second'), 'through the second');
    await until(ready, 20_000);

    await first.start();
    t.equal(await talk(it, 'still there'), 'still there', 'a user who finds nobody at the first goes on to the second');
    it.client.retryNow();
    await second.stop();
    await until(async () => (await parkedAt(first)) === '1', 20_000);
    t.equal(await talk(it, 'through the first again'), 'through the first again');

    await fixture.backend.close();
    await second.start();
    await first.stop('SIGKILL');
    await until(async () => (await parkedAt(second)) === '1', 20_000);
    t.pass('the VM parks while rest is down');
    await fixture.startBackend();
  },
);
