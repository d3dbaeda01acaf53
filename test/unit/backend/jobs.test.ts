import t from 'tap';
import { JOB_LIMITS, type JobLimits, type JobSpec, Jobs } from '../../../backend/jobs/jobs.ts';
import type { VmcError } from '../../../shared/errors.ts';
import { KeyedMutex } from '../../../shared/keyed-mutex.ts';

const LIMITS: JobLimits = { ...JOB_LIMITS, runningPerUserOnHost: 2, runningPerUser: 3, runningPerHost: 4, running: 6 };

function setUp() {
  const ends: (() => void)[] = [];
  const jobs = new Jobs({
    links: { call: async () => Promise.reject(new Error('no host is asked')) },
    mutex: new KeyedMutex(),
    now: Date.now,
    ended: () => {},
    failed: () => {},
    limits: LIMITS,
  });
  let drives = 0;
  const begin = (userId: string, hostId: string) => {
    const target = `drv${drives++}`;
    const work: JobSpec['work'] = () => new Promise<void>((resolve) => ends.push(resolve));
    return jobs.begin({ kind: 'drive-check', userId, hostId, target, keys: [target], work });
  };
  const refusal = (userId: string, hostId: string) => {
    try {
      begin(userId, hostId);
      return 'none';
    } catch (error) {
      const { code, message, hint } = error as VmcError;
      return `${code}: ${message} ${hint}`;
    }
  };
  return { jobs, begin, refusal, ends };
}

t.test('nobody takes all places of a host, nor all there are; each refusal says whose jobs they are', async (t) => {
  const { jobs, begin, refusal, ends } = setUp();
  for (let n = 0; n < 2; n++) begin('ada', 'one');
  t.match(refusal('ada', 'one'), /limit: You have 2 jobs on that host, .*connect job list/);
  begin('ada', 'two');
  t.match(refusal('ada', 'two'), /limit: You have 3 jobs that run, .*connect job list/);
  for (let n = 0; n < 2; n++) begin('bob', 'one');
  t.match(refusal('cay', 'one'), /limit: 4 jobs run on that host, .*Try again/);
  begin('cay', 'two');
  t.match(refusal('dan', 'three'), /limit: 6 jobs run, .*Try again/);
  while (jobs.list().some((it) => it.state === 'running')) {
    for (const end of ends.splice(0)) end();
    await new Promise(setImmediate);
  }
  begin('ada', 'one');
});

t.test('who waits for a later version is not told of an earlier one', async (t) => {
  const { jobs, begin, ends } = setUp();
  const { jobId } = begin('ada', 'one');
  const told: (number | undefined)[] = [];
  const wait = async (version: number) => {
    const job = await jobs.wait(jobId, version, 'ada', 60_000, new AbortController().signal);
    told.push(job?.version);
  };
  const waits = [wait(5), wait(1)];
  jobs.cancel(jobId);
  await waits[1];
  t.strictSame(told, [2]);
  while (ends.length === 0) await new Promise(setImmediate);
  ends[0]?.();
  await Promise.all(waits);
  t.equal(jobs.get(jobId)?.state, 'done');
  t.strictSame(told, [2, 3], 'but of its end');
});

t.test('as it is set: it takes several people to fill a host, and several hosts to fill all', async (t) => {
  const { runningPerUserOnHost, runningPerUser, runningPerHost, running } = JOB_LIMITS;
  t.ok(runningPerHost >= 4 * runningPerUserOnHost);
  t.ok(running >= 4 * runningPerHost && running >= 8 * runningPerUser);
});
