/** npm run fuzz: every parser that reads bytes of strangers, with five million inputs. Findings are kept as files of the corpus. */
import { availableParallelism } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { saveInput } from './corpus.ts';
import { type FuzzReport, fuzz, type TargetReport } from './fuzz.ts';
import type { Finding } from './job.ts';
import { targets } from './targets/all.ts';
import { findTarget } from './targets/index.ts';

interface Options {
  seed: number;
  target: string[];
  inputs?: number;
  seconds?: number;
  workers: number;
  explore: number;
  json?: true;
  list?: true;
}

const DEFAULT_INPUTS = 5_000_000;
/** For a run that is counted in inputs: far more than it takes, so that one on a machine that hangs ends too. */
const MOST_SECONDS = 3600;

const count = (text: string): number => {
  if (!/^\d{1,12}$/.test(text)) throw new InvalidArgumentError('Give a whole number.');
  return Number(text);
};
const pad = (text: string | number, width: number) =>
  typeof text === 'number' ? text.toLocaleString('en').padStart(width) : text.padEnd(width);

function line(report: TargetReport): string {
  const { target, from, inputs, perSecond, accepted, refused, corpus, reached, findings } = report;
  const cells = [
    pad(target, 30),
    pad(from, 8),
    pad(inputs, 12),
    pad(perSecond, 9),
    pad(accepted, 11),
    pad(refused, 12),
  ];
  return [...cells, pad(corpus, 7), pad(reached, 7), pad(findings, 9)].join('');
}
const HEAD =
  `${pad('target', 30)}${pad('from', 8)}` +
  ['inputs', '/cpu s', 'accepted', 'refused', 'corpus', 'reached', 'findings']
    .map((word, i) => word.padStart([12, 9, 11, 12, 7, 7, 9][i] ?? 9))
    .join('');

function tell(finding: Finding): void {
  const path = finding.input === undefined ? 'no single input' : saveInput(finding.target, finding.input);
  process.stderr.write(`FINDING ${finding.target} ${finding.kind}: ${finding.detail}\n  ${path}\n`);
}

async function run(options: Options): Promise<FuzzReport> {
  const chosen = options.target.length === 0 ? targets : (await Promise.all(options.target.map(matching))).flat();
  process.stderr.write(`seed ${options.seed}, ${chosen.length} targets, ${options.workers} workers\n${HEAD}\n`);
  const { seed, workers, explore, seconds = MOST_SECONDS } = options;
  return fuzz({
    ...{ targets: chosen, seed, workers, inputs: inputsOf(options), seconds, explore },
    onFinding: tell,
    onTarget: (report) => process.stderr.write(`${line(report)}\n`),
  });
}

const inputsOf = ({ inputs, seconds }: Options): number =>
  inputs ?? (seconds === undefined ? DEFAULT_INPUTS : Number.POSITIVE_INFINITY);

/** A whole name, or the beginning of several. */
async function matching(name: string) {
  const several = targets.filter((target) => target.name.startsWith(name));
  return several.length > 0 ? several : [await findTarget(name)];
}

const program = new Command('fuzz')
  .description('Tries every parser of untrusted bytes with mutated inputs. Ends with 1 when something was found.')
  .option(
    '--target <name>',
    'only this one, or those that begin so; may be repeated',
    (name, all: string[]) => [...all, name],
    [],
  )
  .option('--seconds <n>', 'ends after so long; without --inputs each target gets the same part of it', count)
  .option(
    '--inputs <n>',
    `how many inputs in all (default: ${DEFAULT_INPUTS.toLocaleString('en')}, or with --seconds as many as the time allows)`,
    count,
  )
  .option(
    '--seed <n>',
    'to repeat a run: the same seed, inputs and workers give the same inputs',
    count,
    Date.now() % 1e9,
  )
  .option('--workers <n>', 'threads', count, availableParallelism())
  .option('--explore <n>', 'inputs of each part of a target that run with coverage measured', count, 300)
  .option('--list', 'only name the targets')
  .option('--json', 'the result as JSON on stdout');
program.parse();
const options = program.opts<Options>();

if (options.list === true) {
  for (const { name, from, form } of targets) console.log(`${name.padEnd(32)}${from.padEnd(10)}${form}`);
} else {
  const report = await run(options);
  const { seed, seconds, cpuSeconds, inputs, findings } = report;
  const wanted = inputsOf(options);
  const short = wanted !== Number.POSITIVE_INFINITY && inputs < wanted;
  if (options.json === true) {
    const named = findings.map(({ input, ...rest }) => ({ ...rest, inputBytes: input?.length }));
    console.log(JSON.stringify({ ...report, findings: named }));
  } else
    console.log(
      `${inputs.toLocaleString('en')} inputs in ${Math.round(seconds)} s, ${Math.round(cpuSeconds)} s of processor time (seed ${seed}), ${findings.length} findings`,
    );
  if (short) process.stderr.write(`That is fewer than ${wanted.toLocaleString('en')}: the run was cut short.\n`);
  process.exitCode = findings.length === 0 && !short ? 0 : 1;
}
