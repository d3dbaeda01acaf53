import { existsSync } from 'node:fs';
import t from 'tap';
import { bench, folderOf, usersOf } from './run-bench.ts';

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

const TINY = ['--rounds', '1', '--seconds', '0.002', '--idle', '4', '--in-a-row', '10'];

t.test('bench tunnel --json: every key of the report, and nothing is left', { timeout: 170_000 }, async (t) => {
  const run = bench(['tunnel', '--json', ...TINY]);
  t.equal(await run.ended, 0, run.stderr());
  const report = JSON.parse(run.stdout());
  const peers = ['raw', 'ssh-gcm', 'ssh-default', 'stunnel', 'haproxy', 'ours'];
  const expected = [1, 8].flatMap((streams) =>
    ['up', 'down'].flatMap((direction) => peers.map((peer) => `${peer} ${streams} ${direction}`)),
  );
  const rows: Record<string, unknown>[] = report.rows;
  t.strictSame(rows.map(({ peer, streams, direction }) => `${peer} ${streams} ${direction}`).sort(), expected.sort());
  for (const row of rows) {
    t.ok(Number(row.gbps) > 0, `${row.peer}: throughput`);
    // The bytes went through both ends, and both ends were looked at.
    for (const end of ['serverCpuPerGB', 'clientCpuPerGB'])
      t.ok(row.peer === 'raw' ? row[end] === 0 : Number(row[end]) > 0, `${row.peer}: ${end}`);
  }
  t.match(report, {
    ratioToSsh: { up: Number, down: Number, up8: Number, down8: Number },
    serverCpuRatioToSsh: { up: Number, down: Number },
    firstByteMs: { ours: Number, ssh: Number },
    newStreamsPerSecond: Number,
    idleStreamBytesEach: Number,
    delayed: { oursMbps: Number, sshMbps: Number },
    extra: { idleStreams: 4, streamsInARow: 10, inARowSeconds: Number },
  });
  t.equal(report.goals.length, 7);
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
