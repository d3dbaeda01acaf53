import t from 'tap';
import { TapSummary } from '../../../scripts/tap-summary.ts';

const read = (text: string) => {
  const summary = new TapSummary();
  const shown = text.split('\n').flatMap((line) => summary.line(line));
  return { shown, counts: summary.counts, files: summary.files };
};

t.test('assertions are counted, files are named, groups are not counted twice', async (t) => {
  const { shown, counts, files } = read(`TAP version 14
# Subtest: test/a.test.ts
    # Subtest: group
        ok 1 - fine
        not ok 2 - broken
          ---
          ok 9 - not a test, but a diagnostic
          ...
        1..2
    not ok 1 - group # time=3ms
    ok 2 - later # SKIP
not ok 1 - test/a.test.ts # time=20.1ms
ok 2 - test/b.test.ts # time=5ms`);
  t.strictSame(counts, { passed: 1, failed: 1, notRun: 1 });
  t.equal(files, 2);
  t.ok(shown.some((line) => line.includes('broken')));
  t.ok(shown.includes('ok     test/b.test.ts  (5 ms)'));
});
