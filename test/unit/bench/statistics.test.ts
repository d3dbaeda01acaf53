import t from 'tap';
import { environmentOf, nodeOptionsOf, parseEnvironment, parseNodeOptions } from '../../../bench/deployed.ts';
import { makeReport, reportTable } from '../../../bench/report.ts';
import { byFigure, median, parseCpuList, rounded } from '../../../bench/statistics.ts';
import type { Suite } from '../../../bench/suite.ts';

t.test('median: odd, even, unsorted, none', async (t) => {
  t.equal(median([9, 1, 10]), 9, 'sorted as numbers, not as text');
  t.equal(median([4, 1, 3, 2]), 2.5);
  t.equal(median([7]), 7);
  t.throws(() => median([]), RangeError);
});

t.test('figures of several rounds, in order; some come only once', async (t) => {
  t.strictSame(byFigure([{ a: 1, b: 2 }, { a: 3 }]), { a: [1, 3], b: [2] });
});

t.test('three digits, and whole numbers whole', async (t) => {
  t.strictSame([0.123456, 12.3456, 1234.56, 56_789.4, 0].map(rounded), [0.123, 12.3, 1235, 56_789, 0]);
});

t.test('lists of CPUs as the kernel writes them', async (t) => {
  t.strictSame(parseCpuList('0-2,5\n'), [0, 1, 2, 5]);
  t.strictSame(parseCpuList('7'), [7]);
  t.strictSame(parseCpuList(''), []);
});

t.test('the report: figures by name, extras apart, goals judged only where something was measured', async (t) => {
  const suite: Suite = {
    name: 'sample',
    packages: [],
    services: [],
    measurements: [],
    figures: ['fast', 'small', 'never'],
    derive: () => ({}),
    goals: [
      { figure: 'fast', atLeast: 10 },
      { figure: 'small', atMost: 5 },
      { figure: 'never', atLeast: 1 },
    ],
  };
  const report = makeReport({
    suite,
    result: { medians: { fast: 10, small: 5.5, other: 1 }, rounds: { fast: [9, 10, 11], small: [5.5], other: [1] } },
    machine: { cpu: 'a', cores: 2, memoryBytes: 1, kernel: 'b', node: 'c', openssl: 'd', loadAtStart: 0 },
    settings: { rounds: 3, seconds: 1, parked: 1, idle: 1, inARow: 1 },
    seconds: 4,
  });
  t.match(report, { fast: 10, small: 5.5, extra: { other: 1 } });
  t.notOk('never' in report);
  t.strictSame(
    report.goals.map(({ figure, met }) => [figure, met]),
    [
      ['fast', true],
      ['small', false],
    ],
  );
  t.match(
    reportTable(suite, report),
    /fast +10 +meets the goal: at least 10\nsmall +5\.5 +MISSES the goal: at most 5\n/,
  );
});

t.test("Node's options, as the units have them", async (t) => {
  t.strictSame(parseNodeOptions('[Service]\nExecStart=/usr/lib/x/node --a=1 --b /usr/lib/x/main.js daemon\n'), [
    '--a=1',
    '--b',
  ]);
  t.strictSame(parseNodeOptions('ExecStart=/usr/lib/x/node /usr/lib/x/main.js\n'), []);
  t.throws(() => parseNodeOptions('ExecStart=/bin/true\n'), { code: 'bad-data' });
  for (const unit of ['vmc', 'backend']) t.match(await nodeOptionsOf(unit), [/^--max-semi-space-size=/], unit);
});

t.test('the environment, as the units have it', async (t) => {
  t.strictSame(parseEnvironment('Environment=A=1\n#Environment=B=2\nEnvironment=C=x=y\nExecStart=/bin/true\n'), {
    A: '1',
    C: 'x=y',
  });
  t.strictSame(await environmentOf('vmc'), { MALLOC_ARENA_MAX: '1' });
});

t.test('the report: rows and members', async (t) => {
  const figures = ['ratio.up', 'ratio.down', 'ratio.never', 'plain'];
  const suite: Suite = {
    name: 'sample',
    packages: [],
    services: [],
    measurements: [],
    figures,
    rows: ['peer', 'streams'],
    derive: () => ({}),
    goals: [
      { figure: 'ratio.down', atLeast: 1 },
      { figure: 'other', atMost: 2 },
    ],
  };
  const medians = {
    'rows.a.1.gbps': 1.23456,
    'rows.b.8.gbps': 9,
    'rows.a.1.cpu': 0.5,
    'ratio.up': 1,
    'ratio.down': 0.5,
    plain: 3,
    other: 2,
  };
  const report = makeReport({
    suite,
    result: { medians, rounds: {} },
    machine: { cpu: 'a', cores: 2, memoryBytes: 1, kernel: 'b', node: 'c', openssl: 'd', loadAtStart: 0 },
    settings: { rounds: 3, seconds: 1, parked: 1, idle: 1, inARow: 1 },
    seconds: 4,
  });
  t.strictSame(report.rows, [
    { peer: 'a', streams: 1, gbps: 1.23, cpu: 0.5 },
    { peer: 'b', streams: 8, gbps: 9 },
  ]);
  t.strictSame([report.ratio, report.plain, report.extra], [{ up: 1, down: 0.5 }, 3, { other: 2 }]);
  const text = reportTable(suite, report);
  t.match(text, /^peer +streams +gbps +cpu\na +1 +1\.23 +0\.5\nb +8 +9/);
  t.match(text, /ratio\.down +0\.5 +MISSES the goal: at least 1\n/);
  t.match(text, /\n {2}other +2 +meets the goal: at most 2\n/);
  t.notMatch(text, /never|rows\./);
});
