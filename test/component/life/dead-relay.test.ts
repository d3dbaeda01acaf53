/**
 * C1: a relay that stops answering, and a link that swallows everything, are seen by both sides, and both come back by
 * themselves. The relay is a process of its own; the times are short here, and those in use are checked in keep-alive.test.ts.
 */
import { EventEmitter, once } from 'node:events';
import t, { type Test } from 'tap';
import { controlMethods } from '../../../shared/api/index.ts';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import { VmClient } from '../../../shared/backend-client/vm-client.ts';
import { makeBackoff } from '../../../shared/backoff.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import type { RelayAddress } from '../../../shared/rest-api/vm-enrol.ts';
import { run } from '../../../shared/run.ts';
import { ChannelServer } from '../../../vmc/channel-server/channel-server.ts';
import { RelayClient } from '../../../vmc/relay-client/relay-client.ts';
import { RequestMemory } from '../../../vmc/requests/request-memory.ts';
import { until } from '../backend/fixture.ts';
import { inNamespace } from '../vmc/in-namespace.ts';
import { device } from './device.ts';
import { makeSystem, type Program, type RealSystem } from './real-system.ts';

const FAST = { lookMs: 50, pingMs: 200, deadMs: 2000, probeMs: 1000 };

/** vmc's own modules, as the daemon puts them together. */
async function startVm(t: Test, { bootstrap }: RealSystem) {
  const { vm, enrolToken, backend } = bootstrap;
  const identity = generateIdentity();
  const client = new VmClient(backend, FAST);
  const { relays, pass } = await client.enrolVm(identity, vm.id, enrolToken);
  const relay = { ...(relays[0] as RelayAddress), url: backend.url };
  const requests = new RequestMemory();
  const events = new EventEmitter();
  const channels = new ChannelServer({
    identity,
    rightsOf: () => new Set(),
    isOwner: () => true,
    greetingFor: (person) => requests.greeting(person),
    handleFor: () => async (_method, params) => params,
    audit: { record: async () => {}, refuse: async () => {} },
    onInternalError: (_method, error) => t.comment(String(error)),
  });
  const parking = new RelayClient({
    park: (signal) => client.parkAtRelay(relay, identity, vm.id, pass, signal),
    serve: (socket) => void channels.serve(socket),
    onParked: () => events.emit('parked'),
    onTrouble: (error) => events.emit('trouble', error),
    backoff: makeBackoff(Math.random),
    clock: () => performance.now(),
  });
  const parked = once(events, 'parked');
  parking.start();
  t.teardown(async () => {
    await parking.stop();
    await channels.close();
    client.close();
    requests.close();
  });
  await parked;
  return events;
}

/** @param stop makes the relay dead without a word. @returns how it comes back. */
async function diesWithoutAWord(t: Test, stop: (relay: Program, port: string) => Promise<() => Promise<void>>) {
  const system = await makeSystem(t);
  const relay = await system.startBackend();
  await until(() => reachable(system), 30_000);
  const vm = await startVm(t, system);
  const { control, io } = await device(t, system, { times: FAST });
  const ping = () => control.call(controlMethods.systemPing, { payload: 'x' });
  t.same(await ping(), { payload: 'x' });

  const trouble = once(vm, 'trouble', { signal: AbortSignal.timeout(40_000) });
  const comeBack = await stop(relay, new URL(system.address.url).port);
  const answer = ping();
  await Promise.all([trouble, until(() => /was lost/.test(io.errors()), 40_000)]);
  t.pass('VM and device have both seen it');
  const parked = once(vm, 'parked', { signal: AbortSignal.timeout(40_000) });
  await comeBack();
  t.same(await answer, { payload: 'x' }, 'the request that was under way is answered');
  await parked;
  t.match(io.errors(), /was lost; trying again…\n.* is back\.\n$/s);
}

async function reachable({ address }: RealSystem): Promise<boolean> {
  const client = new BackendClient(address);
  const answered = await client.call(routes.challenge, { params: {}, body: {} }).then(
    () => true,
    () => false,
  );
  client.close();
  return answered;
}

const nft = (rules: string) => run({ file: 'nft', args: ['-f', '-'], stdin: rules, timeoutMs: 10_000 });

await inNamespace(import.meta.url, () => {
  t.test('C1 a relay that hangs is given up by VM and device, and found again', (t) =>
    diesWithoutAWord(t, async ({ child }) => {
      child.kill('SIGSTOP');
      return async () => void child.kill('SIGCONT');
    }),
  );

  t.test('C1 so is one behind a link that swallows everything', (t) =>
    diesWithoutAWord(t, async (_relay, port) => {
      await nft(`table inet hole {
        chain input {
          type filter hook input priority 0
          tcp dport ${port} drop
          tcp sport ${port} drop
        }
      }`);
      return async () => void (await nft('delete table inet hole'));
    }),
  );
});
