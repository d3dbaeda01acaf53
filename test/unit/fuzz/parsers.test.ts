import t from 'tap';
import { loadCorpus } from '../../fuzz/corpus.ts';
import { fuzz } from '../../fuzz/fuzz.ts';
import { targets } from '../../fuzz/targets/all.ts';

t.test('C2 every parser of untrusted bytes: what was once found, and 200,000 inputs more', async (t) => {
  t.ok(
    targets.some(({ name }) => loadCorpus(name).length > 0),
    'there is a corpus',
  );
  const report = await fuzz({ targets, seed: 1, workers: 2, inputs: 200_000, seconds: 20, explore: 0 });
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
