/**
 * Runs the checks and the tests, and ends with the line "N passed, N failed".
 *
 *   node scripts/test.ts quick   types, lint, unit and component tests: no VM
 *   node scripts/test.ts all     all of that and the system tests, which boot real VMs
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { COMPILE_CACHE } from '../lab/programs.ts';
import { installQuietly } from '../lab/quiet-install.ts';
import { ensureDebianPackages, SSHD_PACKAGES, SSHD_SERVICES } from '../lab/setup.ts';
import { type Counts, TapSummary } from './tap-summary.ts';

function runInherited(file: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    // stdout carries what a person reads; npm's own JSON mode has no say in it.
    const child = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

async function check(what: string, file: string, args: readonly string[]): Promise<Counts> {
  console.log(`== ${what}`);
  const ok = (await runInherited(file, args)) === 0;
  if (!ok) console.log(`not ok: ${what}`);
  return ok ? { passed: 1, failed: 0, notRun: 0 } : { passed: 0, failed: 1, notRun: 0 };
}

/** What takes long is done in full only by `all`. */
const FULL = { VMC_KILLS: '50', VMC_BIG_FILE: `${4 * 1024 ** 3}` };

async function tap(group: string, jobs: number, timeoutSeconds: number, env: NodeJS.ProcessEnv): Promise<Counts> {
  console.log(`== ${group} tests`);
  const summary = new TapSummary();
  const child = spawn('tap', [`--jobs=${jobs}`, `--timeout=${timeoutSeconds}`, '--reporter=tap', ...globs(group)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env,
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
  for await (const line of createInterface({ input: child.stdout }))
    for (const shown of summary.line(line)) console.log(shown);
  const code = await ended;
  const counts = summary.counts;
  // A test that did not run is not a test that passed; and a runner that failed without a failed assertion failed all the same.
  if (counts.notRun > 0) console.log(`not ok: ${counts.notRun} ${group} tests did not run`);
  if (summary.files === 0) console.log(`not ok: there are no ${group} tests`);
  if (code !== 0 && counts.failed === 0)
    console.log(`not ok: the runner of the ${group} tests ended with code ${code}`);
  const extra = counts.notRun + (summary.files === 0 || (code !== 0 && counts.failed === 0) ? 1 : 0);
  return { ...counts, failed: counts.failed + extra };
}

function globs(group: string): string[] {
  return group === 'component'
    ? ['test/component/**/*.test.ts', 'test/cli/**/*.test.ts']
    : group === 'unit'
      ? ['test/unit/**/*.test.ts', 'test/*.test.ts']
      : group === 'system'
        ? ['test/system/main-job.test.ts'] // it looks at all that is left on the machine: nothing else may run
        : ['test/system/real-*.test.ts'];
}

async function main(mode: string | undefined): Promise<number> {
  if (mode !== 'quick' && mode !== 'all') {
    console.error('usage: node scripts/test.ts quick|all');
    return 64;
  }
  const started = performance.now();
  const all: Counts[] = [
    await check('types', 'tsc', ['--noEmit']),
    await check('lint and format', 'biome', ['check', '--error-on-warnings', '.']),
  ];
  const installed = [...(await ensureDebianPackages()), ...(await installQuietly(SSHD_PACKAGES, SSHD_SERVICES))];
  if (installed.length > 0) console.log(`== installed ${installed.join(' ')}`);
  const env = { ...process.env, NODE_COMPILE_CACHE: COMPILE_CACHE, ...(mode === 'all' ? FULL : {}) };
  all.push(await tap('unit', 2, 60, env), await tap('component', 2, mode === 'all' ? 480 : 120, env));
  if (mode === 'all') all.push(await tap('system', 1, 900, env), await tap('real VM', 2, 2400, env));
  const passed = all.reduce((sum, counts) => sum + counts.passed, 0);
  const failed = all.reduce((sum, counts) => sum + counts.failed, 0);
  console.log(`\n${Math.round((performance.now() - started) / 1000)} s`);
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv[2]);
