import t from 'tap';
import { type FuzzOptions, fuzz } from '../../fuzz/fuzz.ts';
import { findTarget } from '../../fuzz/targets/index.ts';

// A hang is a second of processor time, however long that takes on a machine that is busy with other things.
t.setTimeout(600_000);

const run = (options: Pick<FuzzOptions, 'targets' | 'inputs'> & Pick<Partial<FuzzOptions>, 'explore'>) =>
  fuzz({
    seed: 1,
    workers: 1,
    seconds: Number.POSITIVE_INFINITY,
    explore: 0,
    ...options,
  });
const kinds = async (name: string, options: Partial<Pick<FuzzOptions, 'inputs' | 'explore'>> = {}) => {
  const { findings } = await run({ targets: [await findTarget(`toy/${name}`)], inputs: 5_000, ...options });
  return findings.map(({ kind }) => kind);
};

t.test('the fuzzer finds what is there: bugs that are known', async (t) => {
  t.match(await kinds('throws'), ['threw']);
  t.match(await kinds('rejects'), ['rejection']);
  t.match(await kinds('hangs'), ['hang']);
  t.match(await kinds('hoards', { inputs: 20_000 }), ['memory']);
  t.strictSame(await kinds('maze', { inputs: 10_000 }), [], 'six right bytes are not met by chance');
  t.match(await kinds('maze', { inputs: 20_000, explore: 5_000 }), ['threw'], 'but coverage leads to them');
});

t.test('a finding is made short, and comes back with the seed', async (t) => {
  const options = { targets: [await findTarget('toy/throws')], inputs: 5_000 };
  const [first, second] = [await run(options), await run(options)];
  t.strictSame(second.findings, first.findings);
  t.strictSame(second.inputs, first.inputs);
  t.ok((first.findings[0]?.input?.length ?? 99) <= 2);
});
