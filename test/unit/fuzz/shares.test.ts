import t from 'tap';
import { sharesOf } from '../../fuzz/shares.ts';
import { targets } from '../../fuzz/targets/all.ts';

const sum = (numbers: readonly number[]) => numbers.reduce((all, it) => all + it, 0);

t.test('every target gets enough, what is cheap gets more, and together it is what was asked for', async (t) => {
  t.strictSame(sharesOf([{ weight: 3 }, { weight: 1 }, { weight: 0 }], 1000), [745, 251, 4]);
  t.strictSame(sharesOf([{ weight: 0 }], 1000), [1000], 'a target by itself gets all');
  t.strictSame(sharesOf([{ weight: 0 }, { weight: 0 }], 1000), [500, 500]);
  t.strictSame(sharesOf([{ weight: 1 }, { weight: 0 }], Infinity), [Infinity, Infinity]);
  const shares = sharesOf(targets, 5_000_000);
  t.ok(Math.min(...shares) >= 20_000);
  t.ok(sum(shares) >= 5_000_000 && sum(shares) < 5_000_200);
});
