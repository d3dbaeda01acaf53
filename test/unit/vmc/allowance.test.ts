/** B1: who has been let in cannot fill the VM's disk with records of what they do. */
import t from 'tap';
import { ALLOWANCE, Allowance } from '../../../vmc/requests/allowance.ts';

t.test('a burst, then so many a minute, for each person apart', async (t) => {
  let now = 0;
  const allowance = new Allowance({ burst: 10, perMinute: 6 }, () => now);
  const takes = (person: string, times: number) => {
    let taken = 0;
    for (let i = 0; i < times; i++) if (allowance.take(person)) taken++;
    return taken;
  };
  t.equal(takes('ann', 100), 10);
  t.equal(takes('bob', 5), 5, 'others have their own');
  now += 9_999;
  t.equal(takes('ann', 1), 0);
  now += 1;
  t.equal(takes('ann', 5), 1, 'asking in vain costs nothing');
  now += 3_600_000;
  t.equal(takes('ann', 100), 10, 'never more than the burst');
  for (let i = 0; i < 3_000; i++) allowance.take(`stranger ${i}`);
  t.equal(takes('ann', 100), 10, 'it is bounded: whoever was forgotten begins anew');
  t.ok((ALLOWANCE.burst + 24 * 60 * ALLOWANCE.perMinute) * 2 * 600 < 110e6, 'some 100 MB of records a day at the most');
});
