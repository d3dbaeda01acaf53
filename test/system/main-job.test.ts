/** `npm run demo`, as a newcomer runs it: what it shows, and what it leaves when it is stopped half way. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import t from 'tap';
import type { DemoReport } from '../../demo/report.ts';
import { ROOT } from '../../lab/programs.ts';
import { run } from '../../shared/run.ts';

t.setTimeout(900_000);

function startDemo() {
  const child = spawn('npm', ['run', 'demo', '--', '--json'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { child, exited, lines: createInterface({ input: child.stderr as Readable }) };
}

const firstLine = (stdout: string) => JSON.parse(stdout.split('\n')[0] ?? '') as DemoReport;

/** What runs of the demo have on this machine, by the lab's id. */
async function traces(): Promise<{ lab: string; what: string }[]> {
  const { stdout } = await run({ file: 'ip', args: ['netns', 'list'], timeoutMs: 10_000 });
  const found = [
    ...stdout.split('\n').flatMap((line) => labIn(/^vmc-([a-z0-9]+)-/, line, `namespace ${line}`)),
    ...readdirSync('/var/tmp').flatMap((name) => labIn(/^vmc-lab-([a-z0-9]+)$/, name, `folder ${name}`)),
  ];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    found.push(...labIn(/\/vmc-lab-([a-z0-9]+)/, commandLine(pid), `process ${pid}`));
  return found;
}

function labIn(pattern: RegExp, text: string, what: string): { lab: string; what: string }[] {
  const lab = pattern.exec(text)?.[1];
  return lab === undefined ? [] : [{ lab, what }];
}

/** Begins to watch. @returns asks what labs have left that were not there then: others may run theirs beside this test. */
async function watchTraces(): Promise<() => Promise<{ lab: string; what: string }[]>> {
  const before = new Set((await traces()).map(({ lab }) => lab));
  return async () => (await traces()).filter(({ lab }) => !before.has(lab));
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return ''; // it ended meanwhile
  }
}

t.test('stopped half way, it removes all that it started', async (t) => {
  const left = await watchTraces();
  const { child, exited, lines } = startDemo();
  const stdout = text(child.stdout as Readable);
  for await (const line of lines)
    if (/✓.*VM: overlay/.test(line)) {
      // the whole process group, as Ctrl-C in a terminal does
      process.kill(-(child.pid as number), 'SIGINT');
      break;
    }
  child.stderr?.resume();
  t.not(await exited, 0);
  const { ok, error } = firstLine(await stdout); // npm adds an object of its own when a script fails
  t.equal(ok, false);
  t.equal(error?.code, 'cancelled');
  t.strictSame(await left(), [], 'nothing is left');
});

t.test('the main job on a real VM', async (t) => {
  const left = await watchTraces();
  const { child, exited, lines } = startDemo();
  lines.on('line', (line) => t.comment(line));
  const stdout = await text(child.stdout as Readable);
  const report = firstLine(stdout);
  t.equal(await exited, 0, JSON.stringify(report.error));
  t.equal(stdout, `${JSON.stringify(report)}\n`, 'one JSON object and nothing else');
  t.equal(report.ok, true);
  const { drive, tunnel, secrets, reboot, vm } = report;
  t.ok(drive !== undefined && drive.allocatedWritten > 400 * 1024 ** 2, 'H9: 400 MiB were written');
  t.ok(drive !== undefined && drive.allocatedTrimmed * 4 < drive.allocatedWritten, 'H9: and given back');
  t.match(tunnel, { bytes: 64 * 1024 ** 2, sha256Match: true }, 'C5: 64 MiB through the tunnel');
  t.match(secrets, { planted: true, found: 0 }, 'C2: no secret where nobody may see it');
  t.match(reboot, { sameIdentity: true, sameData: true }, 'C3, C7: the same after a restart');
  t.ok(vm !== undefined && vm.rssBytes <= 80 * 1024 ** 2, `idle memory of vmc: ${vm?.rssBytes}`);
  t.strictSame(await left(), [], 'nothing is left');
});
