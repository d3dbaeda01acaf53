import t from 'tap';
import { loadCorpus } from '../../fuzz/corpus.ts';
import { fuzz } from '../../fuzz/fuzz.ts';
import { targets } from '../../fuzz/targets/all.ts';

const INPUTS = 200_000;
// So many inputs in any case: on a machine that is busy with other things they take as long as they take.
t.setTimeout(600_000);

t.test('C2 every parser of untrusted bytes: what was once found, and 200,000 inputs more', async (t) => {
  t.ok(
    targets.some(({ name }) => loadCorpus(name).length > 0),
    'there is a corpus',
  );
  const report = await fuzz({ targets, seed: 1, workers: 2, inputs: INPUTS, seconds: Infinity, explore: 0 });
  t.strictSame(
    report.findings.map(({ target, kind, detail }) => `${target} ${kind}: ${detail}`),
    [],
  );
  t.ok(report.inputs >= INPUTS, `${report.inputs} inputs, ${Math.round(report.cpuSeconds)} s of processor time`);
  t.strictSame(
    report.targets.filter(({ inputs }) => inputs < INPUTS / 250).map(({ target }) => target),
    [],
    'none of them is left out',
  );
  t.strictSame(
    report.targets.filter(({ refused }) => refused === 0).map(({ target }) => target),
    [],
    'none of them takes all that comes',
  );
  t.strictSame(
    report.targets.filter(({ accepted }) => accepted === 0).map(({ target }) => target),
    [],
    'none of them refuses all that comes',
  );
});
