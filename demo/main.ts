/** `npm run demo`: the whole path on one machine, measured. */
import { parseArgs } from 'node:util';
import { openLab, removeLeftovers } from '../lab/leftovers.ts';
import { Site } from '../lab/site.ts';

import { errorMessage, publicError, VmcError } from '../shared/errors.ts';
import { Undo } from '../shared/undo.ts';
import { lookAround } from './look-around.ts';
import { type DemoReport, isOk, reportTable } from './report.ts';
import { runDemo } from './run-demo.ts';
import { Steps } from './steps.ts';

const HELP = `Usage: npm run demo -- [--json] [--keep]

Walks the whole path with a real VM in network namespaces of its own, as root on Debian 12, and removes all of it at the end.

  --json   one JSON object on stdout instead of the table; progress goes to stderr
  --keep   leave everything running, and print the commands to look around and to remove it
  --clean  remove what an earlier run left or kept, and do nothing else
`;

interface Options {
  json: boolean;
  keep: boolean;
  clean: boolean;
  help: boolean;
}

function readOptions(argv: readonly string[]): Options {
  const option = { type: 'boolean', default: false } as const;
  return parseArgs({
    args: [...argv],
    options: { json: option, keep: option, clean: option, help: { ...option, short: 'h' } },
  }).values;
}

async function main(argv: readonly string[]): Promise<number> {
  const options = readOptions(argv);
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (process.getuid?.() !== 0)
    throw new VmcError('forbidden', 'The demo makes network namespaces and VMs, which needs root.', 'Run it as root.');
  const out = options.json ? process.stderr : process.stdout;
  const removed = await removeLeftovers();
  if (removed.length > 0) out.write(`Removed what an earlier run left: ${removed.join(', ')}\n`);
  if (options.clean) return 0;
  return walk(options, out);
}

async function walk(options: Options, out: NodeJS.WriteStream): Promise<number> {
  const started = performance.now();
  const abort = new AbortController();
  const stop = (signal: string) => abort.abort(new VmcError('cancelled', `Stopped by ${signal}.`));
  process.on('SIGINT', stop).on('SIGTERM', stop).on('SIGHUP', stop);
  const undo = new Undo();
  const steps = new Steps(out, abort.signal);
  const report: DemoReport = { ok: false, seconds: 0, steps: steps.times };
  const lab = await openLab();
  undo.add('the lab', () => lab.remove());
  const site = new Site(lab);
  try {
    await runDemo({ site, steps, report, undo, signal: abort.signal, keep: options.keep });
  } catch (error) {
    report.error = publicError(abort.signal.aborted ? abort.signal.reason : error);
    if (!(error instanceof VmcError)) out.write(`${error instanceof Error ? error.stack : error}\n`);
  }
  const keep = options.keep && report.error === undefined;
  if (keep) {
    await lab.keep();
    undo.commit();
  } else await tidyUp(undo, out);
  report.seconds = Math.round((performance.now() - started) / 10) / 100;
  report.ok = isOk(report);
  process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : `\n${reportTable(report)}\n`);
  if (report.error !== undefined)
    out.write(
      `\ndemo: ${report.error.message}\n${report.error.hint === undefined ? '' : `  hint: ${report.error.hint}\n`}`,
    );
  if (keep) out.write(await lookAround(site));
  return report.ok ? 0 : 1;
}

async function tidyUp(undo: Undo, out: NodeJS.WriteStream): Promise<void> {
  for (const { what, error } of await undo.rollBack())
    out.write(`demo: could not remove ${what}: ${errorMessage(error)}\n`);
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  const { message, hint } = publicError(error);
  process.stderr.write(`demo: ${message}\n${hint === undefined ? '' : `  hint: ${hint}\n`}`);
  return 1;
});
