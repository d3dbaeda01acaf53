/** C1: requests that change something run once, and what cannot be known is said. */
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import type { CallContext, Progress } from '../../../shared/rpc/method.ts';
import { newRequestId } from '../../../shared/rpc/peer.ts';
import { REQUEST_LIMITS, type RequestLimits } from '../../../vmc/requests/limits.ts';
import { RequestMemory } from '../../../vmc/requests/request-memory.ts';

const CUT = new VmcError('channel-closed', 'It was cut.');
const LEFT = new VmcError('cancelled', 'The other side has left.');

type Work = (context: CallContext) => Promise<unknown>;

function setUp(limits: Partial<RequestLimits> = {}) {
  const memory = new RequestMemory(limits, () => clock.now);
  const clock = { now: 0 };
  /** One arrival of a request over some channel. */
  const ask = (
    work: Work,
    { person = 'ann', id = newRequestId(), after = 0, params = {} as unknown, method = 'drive.format' } = {},
  ) => {
    const abort = new AbortController();
    const heard: Progress[] = [];
    const told: { accepted?: number } = {};
    const context = {
      signal: abort.signal,
      progress: (progress: Progress) => void heard.push(progress),
      requestId: id,
      after,
      tellAccepted: (count: number) => {
        told.accepted = count;
      },
    };
    const answer = memory.once(person, { method, params, context }, work);
    answer.catch(() => {});
    return { answer, heard, told, leave: (why: VmcError) => abort.abort(why) };
  };
  return { memory, clock, ask };
}

/** Work that ends when it is told to, and knows how often it ran. */
function job() {
  const gate = Promise.withResolvers<unknown>();
  const job = {
    runs: 0,
    context: undefined as CallContext | undefined,
    end: (result: unknown) => gate.resolve(result),
    work: async (context: CallContext) => {
      job.runs++;
      job.context = context;
      const aborted = new Promise((_, reject) =>
        context.signal.addEventListener('abort', () => reject(new VmcError('cancelled', 'Stopped.'))),
      );
      return Promise.race([gate.promise, aborted]);
    },
  };
  return job;
}

t.test('C1 a repeat gets the same answer, result or error, and nothing runs again', async (t) => {
  const { ask } = setUp();
  const id = newRequestId();
  let runs = 0;
  const work = async () => ({ run: ++runs });
  t.same(await ask(work, { id }).answer, { run: 1 });
  t.same(await ask(work, { id }).answer, { run: 1 });

  const failing = newRequestId();
  const fail = async () => {
    runs++;
    throw new VmcError('busy', 'Somebody holds it.', 'Wait.');
  };
  for (let i = 0; i < 3; i++)
    await t.rejects(ask(fail, { id: failing }).answer, { code: 'busy', message: 'Somebody holds it.', hint: 'Wait.' });
  const defect = async () => {
    runs++;
    throw new Error('the password is hunter2');
  };
  const broken = newRequestId();
  await t.rejects(ask(defect, { id: broken }).answer, /hunter2/, 'for the log of this side');
  await t.rejects(ask(defect, { id: broken }).answer, { code: 'internal', message: /^(?!.*hunter2)/ });
  t.equal(runs, 3);
  t.same(await ask(work, { id, person: 'bob' }).answer, { run: 4 }, "another person's ids are another's");
});

t.test('C1 an id stands for one method and its parameters; a changing request has one', async (t) => {
  const { ask, memory } = setUp();
  const id = newRequestId();
  const work = async () => 'done';
  await ask(work, { id, params: { driveId: 'a' } }).answer;
  await t.rejects(ask(work, { id, params: { driveId: 'b' } }).answer, { code: 'bad-request', message: /another/ });
  await t.rejects(ask(work, { id, params: { driveId: 'a' }, method: 'drive.open' }).answer, { code: 'bad-request' });
  await t.rejects(ask(work, { after: 7 }).answer, { code: 'bad-request', message: /never told/ });
  const context = { signal: new AbortController().signal, progress: () => {} };
  await t.rejects(memory.once('ann', { method: 'drive.open', params: {}, context }, work), { code: 'bad-request' });
});

t.test('C1 whoever asks again while it runs joins it: progress and answer', async (t) => {
  const { ask } = setUp();
  const id = newRequestId();
  const running = job();
  const first = ask(running.work, { id });
  running.context?.progress({ step: 'formatting', done: 1 });
  const second = ask(running.work, { id });
  t.same(second.heard, [{ step: 'formatting', done: 1 }], 'how far it is by now');
  running.context?.progress({ step: 'formatting', done: 2 });
  running.end({ ok: true });
  t.same([await first.answer, await second.answer], [{ ok: true }, { ok: true }]);
  t.equal(running.runs, 1);
  t.equal(first.heard.length, 2);
  t.equal(second.heard.length, 2);
});

t.test('C1 a cut leaves it running for a while; who comes back in time finds it', async (t) => {
  const { ask } = setUp();
  const running = job();
  const id = newRequestId();
  const first = ask(running.work, { id });
  first.leave(CUT);
  await turn();
  t.equal(running.context?.signal.aborted, false);
  const second = ask(running.work, { id });
  running.end('done');
  t.equal(await second.answer, 'done');
  t.equal(running.runs, 1);
});

t.test('C1 nobody comes back: it is stopped, and says so to who asks later', async (t) => {
  const { ask } = setUp({ graceMs: 5 });
  const running = job();
  const id = newRequestId();
  const keepRunning = setTimeout(() => {}, 30_000); // the grace time alone keeps no process alive
  t.teardown(() => clearTimeout(keepRunning));
  const first = ask(running.work, { id });
  const aborted = new Promise((resolve) => running.context?.signal.addEventListener('abort', resolve));
  first.leave(CUT);
  await aborted;
  await t.rejects(first.answer, { code: 'cancelled', message: /was away/ });
  await t.rejects(ask(running.work, { id }).answer, { code: 'cancelled', message: /was away/, hint: /Look/ });
  t.equal(running.runs, 1);
});

t.test('C1 a cancel and a goodbye end it at once; C16 so do lost rights, and the end of vmc', async (t) => {
  const { ask, memory } = setUp();
  const [left, revoked, others, ended] = [job(), job(), job(), job()];
  const first = ask(left.work);
  first.leave(LEFT);
  await t.rejects(first.answer, { code: 'cancelled' });

  const second = ask(revoked.work, { person: 'bob' });
  const third = ask(others.work);
  second.leave(CUT); // as revocation does
  memory.stop('bob');
  await t.rejects(second.answer, { code: 'forbidden', message: /rights/ });
  t.equal(others.context?.signal.aborted, false, "nobody else's");
  others.end(1);
  await third.answer;

  const fourth = ask(ended.work);
  memory.close();
  await t.rejects(fourth.answer, { code: 'cancelled', message: /controller/ });
});

t.test('C1 what may be forgotten is not run again, and a fresh request still is', async (t) => {
  const { ask, clock, memory } = setUp({ perPerson: 4, runningPerPerson: 3, rememberMs: 1000 });
  const counts = new Map<string, number>();
  const work = (id: string) => async () => void counts.set(id, (counts.get(id) ?? 0) + 1);
  const ids = Array.from({ length: 9 }, newRequestId);
  let accepted = 0;
  for (const id of ids) {
    const { answer, told } = ask(work(id), { id, after: accepted });
    await answer;
    accepted = told.accepted ?? 0;
  }
  t.equal(accepted, 9);
  t.equal(memory.size, 4);
  for (const [i, id] of ids.entries()) {
    const { answer, told } = ask(work(id), { id, after: i });
    if (i < 5) await t.rejects(answer, { code: 'outcome-unknown', hint: /Look/ }, `${i} is forgotten`);
    else await answer;
    t.equal(told.accepted, 9, 'with which a caller who never sent it before can ask again');
  }
  t.same(
    [...counts.values()],
    ids.map(() => 1),
  );

  clock.now = 2000;
  const late = newRequestId();
  await t.rejects(
    ask(work(late), { id: late, after: 8 }).answer,
    { code: 'outcome-unknown' },
    'all are forgotten by now',
  );
  await ask(work(late), { id: late, after: memory.greeting('ann').accepted }).answer;
  t.equal(counts.get(late), 1);
  t.equal(memory.size, 1);
});

t.test('C1 what could not be remembered is refused before it runs', async (t) => {
  const { ask, memory } = setUp({ runningPerPerson: 2, runningInAll: 3 });
  const jobs = Array.from({ length: 3 }, job);
  ask(jobs[0]?.work as Work);
  ask(jobs[1]?.work as Work);
  let ran = 0;
  const count = async () => ++ran;
  await t.rejects(ask(count).answer, { code: 'limit' });
  ask(jobs[2]?.work as Work, { person: 'bob' });
  await t.rejects(ask(count, { person: 'bob' }).answer, { code: 'limit' }, 'everybody together');
  t.equal(ran, 0);
  t.equal(memory.size, 3);
  await ask(count, { person: 'cy' }).answer;
  t.equal(ran, 1, 'who has none running may have one: several together keep nobody out');
});

t.test('C1 memory is bounded in bytes and in people, for one and for all', async (t) => {
  const { ask, memory, clock } = setUp({ bytesPerPerson: 10_000, bytesInAll: 25_000, people: 3, rememberMs: 1000 });
  const big = async () => 'x'.repeat(1000); // 2.5 kB with what is kept beside it
  for (let i = 0; i < 20; i++) await ask(big, { after: i }).answer;
  t.equal(memory.size, 3);
  for (const person of ['bob', 'cy']) for (let i = 0; i < 20; i++) await ask(big, { person, after: i }).answer;
  t.equal(memory.size, 9);
  await t.rejects(ask(big, { person: 'dee' }).answer, { code: 'limit' }, 'of three people something is remembered');
  clock.now = 2000;
  await ask(big, { person: 'dee', after: memory.greeting('dee').accepted }).answer;
  t.equal(memory.size, 1);
  memory.greeting('eve');
  memory.greeting('fay');
  const id = newRequestId();
  await t.rejects(
    ask(big, { id, after: 0 }).answer,
    { code: 'outcome-unknown' },
    'Ann was forgotten altogether: what she sent long ago may have run',
  );
});

t.test('C1 in every order of arrivals and repeats each request runs at most once', async () => {
  const step = fc.record({ who: fc.nat(2), which: fc.nat(11), minutes: fc.nat(12) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { ask, clock } = setUp({ perPerson: 3, runningPerPerson: 2, inAll: 5, people: 2, rememberMs: 30 * 60_000 });
      const runs = new Map<string, number>();
      const sent = new Map<string, { id: string; after: number }>();
      const accepted = [0, 0, 0];
      for (const { who, which, minutes } of steps) {
        clock.now += minutes * 60_000;
        const name = `${who}/${which}`;
        const request = sent.get(name) ?? { id: newRequestId(), after: accepted[who] ?? 0 };
        sent.set(name, request);
        const { answer, told } = ask(async () => void runs.set(name, (runs.get(name) ?? 0) + 1), {
          ...request,
          person: `person${who}`,
        });
        await answer.catch((error: unknown) => {
          if (!(error instanceof VmcError && ['outcome-unknown', 'limit'].includes(error.code))) throw error;
        });
        accepted[who] = Math.max(accepted[who] ?? 0, told.accepted ?? 0);
      }
      return [...runs.values()].every((count) => count === 1);
    }),
    { numRuns: 300 },
  );
});

t.test('the limits go together', async (t) => {
  const limits = REQUEST_LIMITS;
  t.ok(limits.runningPerPerson < limits.perPerson, 'there is always one that can be forgotten');
  t.ok(limits.runningInAll < limits.inAll);
  t.ok(limits.rememberMs > 30 * 60_000, 'the longest that connect waits for an answer');
});
