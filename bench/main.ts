/** `npm run bench`: measures, on this machine, what is promised. Only this file touches argv and the exit code. */
import { parseArgs } from 'node:util';
import { openLab, removeLeftovers } from '../lab/leftovers.ts';
import { installQuietly } from '../lab/quiet-install.ts';
import { ERROR_EXIT, errorMessage, publicError, VmcError } from '../shared/errors.ts';
import { Undo } from '../shared/undo.ts';
import { channelSuite } from './channel/suite.ts';
import { drivesSuite } from './drives/suite.ts';
import { lookAtMachine, ownCores } from './machine.ts';
import { makeReport, reportTable } from './report.ts';
import type { Settings, Site } from './site.ts';
import { type Measurement, runSuite, type Suite } from './suite.ts';
import { tunnelSuite } from './tunnel/suite.ts';

const SUITES: readonly Suite[] = [channelSuite, tunnelSuite, drivesSuite];

/** One name may stand for several. */
const namesOf = (measurements: readonly Measurement[]): string[] => [...new Set(measurements.map(({ name }) => name))];

const HELP = `Usage: npm run bench -- SUITE [options]

Measures on this machine, each program in a process of its own, and removes all of it at the end. Installs the Debian
packages it needs when it is root. A busy machine gives poor figures: the answer says how busy it was.

${SUITES.map(({ name, measurements }) => `  ${name}: ${namesOf(measurements).join(', ')}`).join('\n')}

  --json         one JSON object on stdout instead of the table; progress goes to stderr
  --rounds N     rounds, of which medians are taken (5)
  --seconds N    about how long one round of one measurement takes (1)
  --only A,B     only these measurements
  --parked N     channel: sockets that are parked at the relay (5000)
  --idle N       tunnel: streams that do nothing (1000)
  --in-a-row N   tunnel: streams that are opened one after another (5000)
`;

interface Request {
  suite: Suite;
  chosen: readonly Measurement[];
  settings: Settings;
  json: boolean;
}

/** @returns undefined when help was asked for. @throws VmcError 'bad-request'. */
function readRequest(argv: readonly string[]): Request | undefined {
  const { values, positionals } = parse(argv);
  if (values.help) return undefined;
  const suite = SUITES.find(({ name }) => name === positionals[0]);
  if (suite === undefined || positionals.length !== 1)
    throw badRequest(`Name one of: ${SUITES.map(({ name }) => name).join(', ')}.`);
  const only = values.only?.split(',');
  for (const name of only ?? [])
    if (!suite.measurements.some((it) => it.name === name)) throw badRequest(`There is no measurement ${name}.`);
  return {
    suite,
    chosen: suite.measurements.filter(({ name }) => only === undefined || only.includes(name)),
    settings: {
      rounds: amount('rounds', values.rounds, 1, 1000),
      seconds: amount('seconds', values.seconds, 0.001, 60),
      parked: amount('parked', values.parked, 1, 100_000),
      idle: amount('idle', values.idle, 1, 10_000),
      inARow: amount('in-a-row', values['in-a-row'], 1, 1_000_000),
    },
    json: values.json,
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '1' },
        parked: { type: 'string', default: '5000' },
        idle: { type: 'string', default: '1000' },
        'in-a-row': { type: 'string', default: '5000' },
        only: { type: 'string' },
      },
    });
  } catch (error) {
    throw badRequest(errorMessage(error));
  }
}

function amount(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (text !== '' && value >= least && value <= most && (name === 'seconds' || Number.isInteger(value))) return value;
  throw badRequest(`--${name} takes a number from ${least} to ${most}.`);
}

const badRequest = (message: string): VmcError => new VmcError('bad-request', message, 'npm run bench -- --help');

async function main(argv: readonly string[]): Promise<void> {
  const request = readRequest(argv);
  if (request === undefined) {
    process.stdout.write(HELP);
    return;
  }
  const say = (text: string) => void process.stderr.write(`bench: ${text}\n`);
  const abort = new AbortController();
  const stop = (signal: string) => abort.abort(new VmcError('cancelled', `Stopped by ${signal}.`));
  process.on('SIGINT', stop).on('SIGTERM', stop).on('SIGHUP', stop);
  const started = performance.now();
  const machine = await lookAtMachine();
  const removed = await removeLeftovers();
  if (removed.length > 0) say(`removed what an earlier run left: ${removed.join(', ')}`);
  const installed = await installQuietly(request.suite.packages, request.suite.services);
  if (installed.length > 0) say(`installed ${installed.join(' ')}`);
  abort.signal.throwIfAborted();
  const undo = new Undo();
  const lab = await openLab();
  undo.add('the folder', () => lab.remove());
  say(`working in ${lab.folder}`);
  const { suite, settings, chosen } = request;
  const site: Site = { lab, undo, signal: abort.signal, core: (await ownCores()).at(-1) ?? 0, settings, note: say };
  try {
    const result = await runSuite(site, suite, chosen);
    const report = makeReport({ suite, result, machine, settings, seconds: (performance.now() - started) / 1000 });
    process.stdout.write(request.json ? `${JSON.stringify(report)}\n` : `${reportTable(suite, report)}\n`);
  } catch (error) {
    throw abort.signal.aborted ? abort.signal.reason : error;
  } finally {
    for (const { what, error } of await undo.rollBack()) say(`could not remove ${what}: ${errorMessage(error)}`);
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const { code, message, hint } = publicError(error);
  process.stderr.write(`bench: ${message}\n${hint === undefined ? '' : `  hint: ${hint}\n`}`);
  if (!(error instanceof VmcError) && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exitCode = ERROR_EXIT[code];
}
