/** C1: what happens to a request when its channel is cut, with vmc's own memory of requests on the other side. */
import t from 'tap';
import * as z from 'zod';
import { ControlConnection, type ControlDeps } from '../../../connect/control.ts';
import { memoryPair } from '../../../shared/channel/transport.ts';
import { VmcError } from '../../../shared/errors.ts';
import { dispatcher } from '../../../shared/rpc/dispatch.ts';
import type { CallContext, Method } from '../../../shared/rpc/method.ts';
import { newRequestId, RpcPeer } from '../../../shared/rpc/peer.ts';
import { RequestMemory } from '../../../vmc/requests/request-memory.ts';

const define = <R extends z.ZodType>(name: string, changes: boolean, result: R) =>
  ({
    name,
    summary: name,
    right: 'member',
    changes,
    params: z.strictObject({ n: z.number() }),
    result,
    progress: changes,
  }) satisfies Method;
const methods = {
  look: define('look', false, z.object({ effects: z.number() })),
  change: define('change', true, z.object({ n: z.number() })),
};

/** A VM whose channels can be cut, and a person's connection with it. */
function setUp(deps: Partial<ControlDeps> = {}) {
  const vm = {
    memory: new RequestMemory(),
    effects: [] as number[],
    opened: 0,
    said: [] as string[],
    /** Cuts the channel that is open. */
    cut: () => {},
    /** What work does, beside its effect. */
    work: async (_context: CallContext): Promise<void> => {},
    look: async (): Promise<void> => {},
    /** Throws when the next channel is not to be opened. */
    door: async (): Promise<void> => {},
  };
  const open = async () => {
    await vm.door();
    vm.opened++;
    const { memory } = vm;
    const [left, right] = memoryPair();
    let cut = false;
    const withCut = ({ send, receive, close }: typeof left) => ({
      send,
      close,
      receive: async () => {
        const message = await receive();
        if (cut) throw new VmcError('channel-closed', 'It was cut.');
        return message;
      },
    });
    vm.cut = () => {
      cut = true;
      left.close();
    };
    const handle = dispatcher(
      methods,
      {
        look: async () => {
          await vm.look();
          return { effects: vm.effects.length };
        },
        change: async ({ n }, context) => {
          await vm.work(context);
          vm.effects.push(n);
          return { n };
        },
      },
      () => {},
      {},
      (request, work) => memory.once('ann', request, work),
    );
    new RpcPeer(withCut(right), { handle, greeting: memory.greeting('ann') });
    return new RpcPeer(withCut(left));
  };
  const connect = async () =>
    new ControlConnection(await open(), {
      vmName: 'lab',
      open,
      say: (text) => vm.said.push(text),
      random: () => 0,
      backoff: { firstMs: 1, mostMs: 2 },
      ...deps,
    });
  return { vm, connect };
}

/** Once only. */
function once(act: () => void): () => Promise<void> {
  let done = false;
  return async () => {
    if (!done) act();
    done = true;
  };
}

t.test('C1 a request that only reads is asked again', async (t) => {
  const { vm, connect } = setUp();
  const control = await connect();
  vm.look = once(() => vm.cut());
  t.same(await control.call(methods.look, { n: 0 }), { effects: 0 });
  t.equal(vm.opened, 2);
  t.same(vm.said, ['The connection to the VM lab was lost; trying again…', 'The connection to the VM lab is back.']);
  await control.close();
});

t.test('C1 a request that changes something runs once: cut while it runs, and cut before its answer', async (t) => {
  const { vm, connect } = setUp();
  const control = await connect();
  const steps: string[] = [];
  const joined = Promise.withResolvers<void>();
  vm.work = async ({ progress }) => {
    progress({ step: 'working' });
    vm.cut();
    await joined.promise;
  };
  t.same(
    await control.call(
      methods.change,
      { n: 1 },
      {
        onProgress: ({ step }) => {
          steps.push(step); // told again after the cut
          joined.resolve();
        },
      },
    ),
    { n: 1 },
  );
  t.ok(steps.length > 0);
  vm.work = async () => {
    setImmediate(vm.cut); // the work is done by then, its answer on the way
  };
  for (let n = 2; n <= 20; n++) t.same(await control.call(methods.change, { n }), { n });
  t.same(
    vm.effects,
    Array.from({ length: 20 }, (_, i) => i + 1),
  );
  await control.close();
});

t.test('C1 several at once: one new channel for all of them, each effect once', async (t) => {
  const { vm, connect } = setUp();
  const control = await connect();
  vm.work = once(() => vm.cut());
  const answers = await Promise.all(Array.from({ length: 8 }, (_, n) => control.call(methods.change, { n })));
  t.same(
    answers,
    Array.from({ length: 8 }, (_, n) => ({ n })),
  );
  t.same(vm.effects.toSorted(), [0, 1, 2, 3, 4, 5, 6, 7]);
  t.equal(vm.opened, 2);
  t.equal(vm.said.length, 2, 'said once');
  await control.close();
});

t.test('C1 another vmc is never asked what the first may have done; what was never sent is sent', async (t) => {
  const { vm, connect } = setUp();
  const control = await connect();
  vm.work = once(() => {
    vm.memory = new RequestMemory(); // vmc was restarted
    vm.cut();
  });
  await t.rejects(control.call(methods.change, { n: 1 }), {
    code: 'outcome-unknown',
    message: /change was answered.*started again.*carried out or not/,
    hint: /Look before/,
  });
  t.ok(vm.effects.length <= 1);
  vm.effects.length = 0;

  vm.memory = new RequestMemory();
  vm.cut();
  t.same(await control.call(methods.change, { n: 2 }), { n: 2 }, 'sent only to the new one');
  t.same(vm.effects, [2]);
  await control.close();
});

t.test('C1 other devices made the VM forget: a request that was never sent before still runs', async (t) => {
  const { vm, connect } = setUp();
  vm.memory = new RequestMemory({ perPerson: 2, runningPerPerson: 1 });
  const control = await connect();
  const context = { signal: new AbortController().signal, progress: () => {} };
  for (let after = 0; after < 5; after++)
    await vm.memory.once(
      'ann',
      { method: 'm', params: {}, context: { ...context, requestId: newRequestId(), after } },
      async () => null,
    );
  t.same(await control.call(methods.change, { n: 1 }), { n: 1 });
  t.same(vm.effects, [1]);
  await control.close();
});

t.test('C1 a refusal that cannot get better ends it at once', async (t) => {
  for (const code of ['identity-changed', 'forbidden', 'unauthenticated', 'not-found'] as const) {
    const { vm, connect } = setUp();
    const control = await connect();
    let tries = 0;
    vm.door = async () => {
      tries++;
      throw new VmcError(code, 'No.');
    };
    vm.cut();
    await t.rejects(control.call(methods.look, { n: 0 }), { code, message: 'No.' });
    t.equal(tries, 1);
    vm.door = async () => {};
    vm.work = once(() => {
      vm.door = async () => {
        throw new VmcError(code, 'No.');
      };
      vm.cut();
    });
    await t.rejects(
      control.call(methods.change, { n: 0 }),
      { code: 'outcome-unknown', cause: { code } },
      'it was sent',
    );
    await control.close();
  }
});

t.test('C1 a VM that closes in every handshake refuses; one that cannot be reached may come back', async (t) => {
  const { vm, connect } = setUp();
  const control = await connect();
  const codes = [...Array(3).fill('channel-closed'), 'unreachable', ...Array(3).fill('channel-closed'), 'timeout'];
  let tries = 0;
  vm.door = async () => {
    const code = codes[tries++];
    if (code !== undefined) throw new VmcError(code, 'Not now.');
  };
  vm.cut();
  t.same(await control.call(methods.look, { n: 0 }), { effects: 0 });
  t.equal(tries, 9);
  vm.door = async () => {
    throw new VmcError('channel-closed', 'No reason given.');
  };
  vm.cut();
  await t.rejects(control.call(methods.look, { n: 0 }), { code: 'channel-closed', message: 'No reason given.' });
  await control.close();
});

t.test('C1 it waits no longer than the call may take, nor after Ctrl-C', async (t) => {
  const { vm, connect } = setUp();
  const control = await connect();
  const down = async () => {
    throw new VmcError('unreachable', 'Nobody there.');
  };
  vm.door = down;
  vm.cut();
  await t.rejects(control.call(methods.look, { n: 0 }, { timeoutMs: 50 }), {
    code: 'unreachable',
    message: /lab did not/,
  });
  await t.rejects(control.call(methods.change, { n: 0 }, { timeoutMs: 50 }), { code: 'unreachable' }, 'never sent');
  const abort = new AbortController();
  const call = control.call(methods.look, { n: 0 }, { signal: abort.signal });
  abort.abort();
  await t.rejects(call, { code: 'cancelled' });

  vm.door = async () => {};
  vm.work = once(() => {
    vm.door = down;
    vm.cut();
  });
  await t.rejects(control.call(methods.change, { n: 1 }, { timeoutMs: 1500 }), { code: 'outcome-unknown' });

  vm.door = async () => {};
  vm.look = () => new Promise(() => {});
  await t.rejects(control.call(methods.look, { n: 0 }, { timeoutMs: 1000 }), { code: 'timeout' }, 'no answer, no cut');
  vm.door = down;
  vm.cut();
  const waiting = control.call(methods.look, { n: 0 });
  await control.close();
  await t.rejects(waiting, { code: 'channel-closed' });
  await t.rejects(control.call(methods.look, { n: 0 }), { code: 'channel-closed' });
});

t.test('C1 a door that opens and shuts is not run into without pause', async (t) => {
  const { vm, connect } = setUp({ backoff: { firstMs: 120_000, mostMs: 120_000 } });
  const control = await connect();
  vm.look = async () => vm.cut();
  await t.rejects(control.call(methods.look, { n: 0 }, { timeoutMs: 300 }), { code: 'unreachable' });
  t.equal(vm.opened, 2, 'the first, and one more at once');
  await control.close();
});
