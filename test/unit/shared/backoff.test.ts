import t from 'tap';
import { makeBackoff } from '../../../shared/backoff.ts';

t.test('C1: the pause between attempts doubles, is capped, spread, and short again after a success', async (t) => {
  const middle = makeBackoff(() => 0.5, 1000, 8000);
  t.strictSame(
    [1, 2, 3, 4, 5].map(() => middle.next()),
    [625, 1250, 2500, 5000, 5000],
  );
  middle.reset();
  t.equal(middle.next(), 625);
  t.ok(makeBackoff(() => 0, 1000).next() >= 250, 'never at once');
  t.ok(makeBackoff(() => 0.999, 1000).next() <= 1000);
});
