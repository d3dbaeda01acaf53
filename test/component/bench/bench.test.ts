import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { NODE, ROOT } from '../../../lab/programs.ts';

interface Run {
  child: ChildProcess;
  stdout(): string;
  stderr(): string;
  /** Resolves when this has been said on stderr. */
  said(text: string): Promise<void>;
  ended: Promise<number | null>;
}

function bench(args: readonly string[]): Run {
  const child = spawn(NODE, [join(ROOT, 'bench', 'main.ts'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGINT'));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const said = async (text: string): Promise<void> => {
    while (!stderr.includes(text))
      await Promise.race([once(child.stderr, 'data'), ended.then(() => Promise.reject(new Error(stderr)))]);
  };
  return { child, stdout: () => stdout, stderr: () => stderr, said, ended };
}

const folderOf = (stderr: string): string => /working in (\S+)/.exec(stderr)?.[1] ?? 'no folder';

/** Processes that have a file of this folder open: each program of the bench logs to one. */
function usersOf(folder: string): string[] {
  const open = (pid: string): string[] => {
    try {
      return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      return []; // it ended meanwhile
    }
  };
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && open(pid).some((path) => path.startsWith(folder)));
}

t.test('bench channel --json: every figure, and nothing is left', async (t) => {
  const run = bench(['channel', '--json', '--rounds', '1', '--seconds', '0.01', '--parked', '4']);
  t.equal(await run.ended, 0, run.stderr());
  const report = JSON.parse(run.stdout());
  for (const figure of [
    'vmcHandshakesPerSecond',
    'deviceHandshakesPerSecond',
    'memoryGbps',
    'relayGbps',
    'wssGbps',
    'sshGbps',
    'relayToWss',
    'parkedBytesEach',
  ])
    t.type(report[figure], 'number', figure);
  for (const figure of ['vmcHandshakesPerSecond', 'relayGbps', 'wssGbps', 'sshGbps', 'memoryGbps'])
    t.ok(report[figure] > 0, figure);
  t.equal(report.extra.parkedSockets, 4);
  t.match(report.machine, { cores: Number, node: process.versions.node });
  t.strictSame(report.goals.length, 3);
  const folder = folderOf(run.stderr());
  t.notOk(existsSync(folder));
  t.strictSame(usersOf(folder), []);
});

t.test('Ctrl-C: it ends everything, and says so', async (t) => {
  const run = bench(['channel', '--only', 'relay,ssh', '--seconds', '30']);
  await run.said('starting relay');
  const folder = folderOf(run.stderr());
  while (usersOf(folder).length < 2) await new Promise((resolve) => setTimeout(resolve, 20)); // some program is up
  run.child.kill('SIGINT');
  t.equal(await run.ended, 130);
  t.match(run.stderr(), /Stopped by SIGINT/);
  t.equal(run.stdout(), '', 'half a result is none');
  t.notOk(existsSync(folder));
  t.strictSame(usersOf(folder), []);
});

t.test('what it does not understand, it refuses', async (t) => {
  const mistakes = [[], ['tunnels'], ['channel', '--only', 'speed'], ['channel', '--rounds', '0'], ['channel', '-x']];
  await Promise.all(
    mistakes.map(async (args) => {
      const run = bench(args);
      t.equal(await run.ended, 64, args.join(' '));
      t.match(run.stderr(), /hint: npm run bench -- --help/);
    }),
  );
});
