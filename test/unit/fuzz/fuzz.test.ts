import t from 'tap';
import { loadCorpus } from '../../fuzz/corpus.ts';
import { type FuzzOptions, fuzz } from '../../fuzz/fuzz.ts';
import { targets } from '../../fuzz/targets/all.ts';
import { findTarget } from '../../fuzz/targets/index.ts';

const run = (options: Partial<FuzzOptions>) =>
  fuzz({
    targets,
    seed: 1,
    workers: 1,
    inputs: Number.POSITIVE_INFINITY,
    seconds: Number.POSITIVE_INFINITY,
    explore: 0,
    ...options,
  });
const kinds = async (name: string, options: Partial<FuzzOptions> = {}) => {
  const { findings } = await run({ targets: [await findTarget(`toy/${name}`)], inputs: 5_000, ...options });
  return findings.map(({ kind }) => kind);
};

t.test('the fuzzer finds what is there: bugs that are known', async (t) => {
  t.match(await kinds('throws'), ['threw']);
  t.match(await kinds('rejects'), ['rejection']);
  t.match(await kinds('hangs'), ['hang']);
  t.match(await kinds('hoards', { inputs: 20_000 }), ['memory']);
  t.strictSame(await kinds('maze', { inputs: 10_000 }), [], 'six right bytes are not met by chance');
  t.match(await kinds('maze', { inputs: 10_000, explore: 2_500 }), ['threw'], 'but coverage leads to them');
});

t.test('a finding is made short, and comes back with the seed', async (t) => {
  const options = { targets: [await findTarget('toy/throws')], inputs: 5_000 };
  const [first, second] = [await run(options), await run(options)];
  t.strictSame(second.findings, first.findings);
  t.strictSame(second.inputs, first.inputs);
  t.ok((first.findings[0]?.input?.length ?? 99) <= 2);
});

t.test('C2 every parser of untrusted bytes: what was once found, and 200,000 inputs more', async (t) => {
  t.ok(
    targets.some(({ name }) => loadCorpus(name).length > 0),
    'there is a corpus',
  );
  const report = await run({ workers: 2, inputs: 200_000, seconds: 25 });
  t.strictSame(
    report.findings.map(({ target, kind, detail }) => `${target} ${kind}: ${detail}`),
    [],
  );
  // On a machine that is busy with other things, time runs out first.
  t.ok(report.inputs >= 10_000, `${report.inputs} inputs in ${Math.round(report.seconds)} s`);
  t.strictSame(
    report.targets.filter(({ refused }) => refused === 0).map(({ target }) => target),
    [],
    'none of them takes all that comes',
  );
});
