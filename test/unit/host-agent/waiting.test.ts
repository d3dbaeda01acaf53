import t from 'tap';
import { SLICE_SECONDS, waitFor } from '../../../host-agent/libvirt/events.ts';

/** A clock that only listening moves. */
function simulation(doneAtMs: number) {
  let now = 0;
  const requests: number[] = [];
  return {
    requests,
    waiting: {
      done: async () => now >= doneAtMs,
      request: async () => void requests.push(now),
      listen: async (seconds: number) => {
        await Promise.resolve(); // whoever listens also asks before time goes on
        now += seconds * 1000;
      },
      now: () => now,
      deadlineMs: 30_000,
      repeatMs: 8000,
    },
  };
}

t.test('H2 H3: a request is repeated until the event or the deadline', async (t) => {
  const soon = simulation(10_000);
  t.equal(await waitFor(soon.waiting), true);
  t.strictSame(soon.requests, [0, 8000]);
  const never = simulation(Number.POSITIVE_INFINITY);
  t.equal(await waitFor(never.waiting), false);
  t.strictSame(never.requests, [0, 8000, 16000, 24000]);
});

t.test('nothing is asked for when it is so already', async (t) => {
  const { waiting, requests } = simulation(0);
  t.equal(await waitFor(waiting), true);
  t.strictSame(requests, []);
});

t.test('a missed event costs one slice', async (t) => {
  t.ok(SLICE_SECONDS <= 5);
});

t.test('a request that fails ends the wait', async (t) => {
  const { waiting } = simulation(10_000);
  await t.rejects(waitFor({ ...waiting, request: () => Promise.reject(new Error('refused')) }), { message: 'refused' });
});
