import t from 'tap';
import { isForgotten, mayResume, waitMs } from '../../../host-agent/vms/plan-resume.ts';

t.test(
  'H1: a VM that lacked space goes on as soon as there is enough, again only after longer and longer waits',
  async (t) => {
    t.equal(mayResume(undefined, 0, 99, 100), false);
    t.equal(mayResume(undefined, 0, 100, 100), true);
    const once = { times: 1, at: 1000 };
    t.equal(mayResume(once, 1000 + waitMs(once) - 1, 100, 100), false);
    t.equal(mayResume(once, 1000 + waitMs(once), 100, 100), true);
    t.ok(waitMs({ times: 2, at: 0 }) > waitMs(once));
    t.equal(waitMs({ times: 50, at: 0 }), waitMs({ times: 51, at: 0 }), 'the wait is bounded');
    t.equal(isForgotten(once, 1000 + waitMs({ times: 50, at: 0 })), false, 'longer than the longest wait');
    t.equal(isForgotten(once, 1000 + 3_600_000), true);
  },
);
