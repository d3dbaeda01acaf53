/**
 * Runs the checks and the tests, and ends with the line "N passed, N failed".
 *
 *   node scripts/test.ts quick   types, lint, unit and component tests but those that take long: no VM
 *   node scripts/test.ts all     all of these, and the system tests, which boot real VMs
 */
import { spawn } from 'node:child_process';
import { glob } from 'node:fs/promises';
import { COMPILE_CACHE } from '../lab/programs.ts';
import { installQuietly } from '../lab/quiet-install.ts';
import { ensureDebianPackages, SSHD_PACKAGES, SSHD_SERVICES } from '../lab/setup.ts';
import { inOrder, runFiles } from './run-files.ts';
import type { Counts } from './tap-summary.ts';

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

type Mode = 'quick' | 'all';

/** What takes long is done in full only by `all`. */
const FULL = { VMC_KILLS: '50', VMC_BIG_FILE: `${4 * 1024 ** 3}` };

/** What takes longest, longest first: the rest is done beside it. `quick` leaves it out. */
const LONG = [
  'component/life/kill',
  'component/vmc/sftp-large',
  'component/host-agent/fault-points',
  'component/host-agent/snapshots-faults',
  'component/host-agent/drive-files',
  'component/vmc/key-slots',
  'component/host-agent/snapshots-sftp',
  'component/vmc/sftp-clients',
  'component/host-agent/snapshots',
  'component/life/sleep',
  'component/host-agent/shared-pool',
  'component/host-agent/vm',
  'component/bench/bench',
  'unit/fuzz/parsers',
  'component/hostile/many-streams',
  'component/connect/drive-key-change',
].map((name) => `test/${name}.test.ts`);

interface Group {
  name: string;
  globs: readonly string[];
  jobs: number;
  timeoutSeconds: number;
  limitSeconds: number;
}

const WITHOUT_VM: Group = {
  name: 'unit and component',
  globs: ['test/*.test.ts', 'test/{unit,component,cli}/**/*.test.ts'],
  jobs: 4, // for two cores: most of the long ones wait most of the time
  timeoutSeconds: 480,
  limitSeconds: 1000,
};

const WITH_VM: readonly Group[] = [
  // It looks at all that is left on the machine: nothing else may run.
  { name: 'system', globs: ['test/system/main-job.test.ts'], jobs: 1, timeoutSeconds: 900, limitSeconds: 1000 },
  { name: 'real VM', globs: ['test/system/real-*.test.ts'], jobs: 2, timeoutSeconds: 2400, limitSeconds: 2500 },
];

async function runGroup(group: Group, mode: Mode, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<Counts> {
  const { name, globs, ...limits } = group;
  console.log(`== ${name} tests`);
  const found = await Array.fromAsync(glob(globs));
  const files = group === WITHOUT_VM ? inOrder(found, LONG).slice(mode === 'all' ? 0 : LONG.length) : found.sort();
  if (mode === 'quick') console.log(`== ${LONG.length} files that take long are left to npm test`);
  const counts = await runFiles(files, { ...limits, env, signal, show: (line) => console.log(line) });
  // A test that did not run is not a test that passed.
  if (counts.notRun > 0) console.log(`not ok: ${counts.notRun} ${name} tests did not run`);
  if (files.length === 0) console.log(`not ok: there are no ${name} tests`);
  return { ...counts, failed: counts.failed + counts.notRun + (files.length === 0 ? 1 : 0) };
}

async function main(mode: string | undefined): Promise<number> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
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
  for (const group of [WITHOUT_VM, ...(mode === 'all' ? WITH_VM : [])])
    all.push(await runGroup(group, mode, env, stop.signal));
  if (stop.signal.aborted) all.push({ passed: 0, failed: 1, notRun: 0 });
  const passed = all.reduce((sum, counts) => sum + counts.passed, 0);
  const failed = all.reduce((sum, counts) => sum + counts.failed, 0);
  console.log(`\n${Math.round((performance.now() - started) / 1000)} s`);
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv[2]);
