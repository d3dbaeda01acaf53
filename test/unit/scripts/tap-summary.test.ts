import t from 'tap';
import { summarise } from '../../../scripts/tap-summary.ts';

const read = (output: string, code: number | string = 0) => summarise('test/a.test.ts', output, { code, ms: 20.1 });

t.test('assertions are counted, groups are not counted twice', async (t) => {
  const { shown, counts } = read(
    `TAP version 14
# Subtest: group
    ok 1 - fine
    not ok 2 - broken
      ---
      ok 9 - not a test, but a diagnostic
      ...
    1..2
not ok 1 - group # time=3ms
ok 2 - later # SKIP
1..2`,
    1,
  );
  t.strictSame(counts, { passed: 1, failed: 1, notRun: 1 });
  t.ok(shown.some((line) => line.includes('broken')));
  t.equal(shown.at(-1), 'FAILED test/a.test.ts  (20 ms)');
});

t.test('what a test says is shown', async (t) => {
  const said = '# Subtest: group\n    # killed before  left\n    # drive.open     locked\n    ok 1 - fine\n    1..1\n';
  t.strictSame(
    read(`TAP version 14\n${said}ok 1 - group # time=1ms\n1..1\n# { total: 1, pass: 1 }\n# time=1ms\n`).shown,
    ['    # killed before  left', '    # drive.open     locked', 'ok     test/a.test.ts  (20 ms)'],
  );
});

t.test('all is well', async (t) => {
  t.strictSame(read('TAP version 14\nok 1 - fine\n1..1\n# time=1ms\n'), {
    shown: ['ok     test/a.test.ts  (20 ms)'],
    counts: { passed: 1, failed: 0, notRun: 0 },
  });
});

t.test('a file fails without a failed assertion', async (t) => {
  const whole = 'TAP version 14\nok 1 - fine\n1..1\n';
  for (const [output, code, why] of [
    [whole, 1, 'it ended with 1'],
    [whole, 'SIGKILL', 'it ended with SIGKILL'],
    ['', 0, 'it ended before its tests did'],
    ['TAP version 14\n1..0\n', 0, 'it ended before its tests did'],
    ['TAP version 14\nok 1 - fine\n', 0, 'it ended before its tests did'],
    ['TAP version 14\n1..2\nok 1 - fine\n', 0, 'it ended before its tests did'],
    ['TAP version 14\n# Subtest: group\n    ok 1 - fine\n    1..1\n', 0, 'it ended before its tests did'],
  ] as const) {
    const { shown, counts } = read(output, code);
    t.equal(counts.failed, 1, `${why}: ${JSON.stringify(output)}`);
    t.strictSame(shown, [`not ok: test/a.test.ts: ${why}`, 'FAILED test/a.test.ts  (20 ms)']);
  }
});
