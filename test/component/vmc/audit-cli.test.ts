/** `vmc audit …` as people and scripts use it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { encodeIdentitySecret, generateIdentity } from '../../../shared/identity/identity.ts';
import { publicIdentityToJson } from '../../../shared/identity/public-identity.ts';
import { runCli } from '../../../vmc/cli.ts';
import { identityPath } from '../../../vmc/state/identity-file.ts';
import { openLog, pathOf, readLines, vm, writeLines } from '../../unit/audit/support.ts';

async function setUp(t: Test) {
  const dir = t.testdir();
  const stateDir = join(dir, 'state');
  mkdirSync(stateDir);
  const config = join(dir, 'vmc.toml');
  writeFileSync(config, `stateDir = "${stateDir}"\n`);
  writeFileSync(identityPath(stateDir), encodeIdentitySecret(vm));
  const cli = async (...words: string[]) => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const deps = { stdout, stderr, daemon: async () => 0, credentialsFolder: undefined };
    const code = await runCli(['audit', ...words], deps);
    return { code, stdout: await text(stdout.end()), stderr: await text(stderr.end()) };
  };
  return { dir, stateDir, config, cli };
}

t.test('C16 verify: whole, with every form of the key, in the VM and elsewhere', async (t) => {
  const { dir, stateDir, config, cli } = await setUp(t);
  const { log } = await openLog(stateDir, { maxMegabytes: 0.01 });
  for (let i = 0; i < 80; i++) await log.record({ who: 'root', what: 'x', target: `${i}`, result: 'ok' });
  await log.close();
  const own = fingerprint(vm.public.ed25519);
  const here = await cli('verify', '--config', config);
  t.match(here, { code: 0, stderr: '', stdout: /^whole +8\d records, 1 to 8\d, and \d signatures\n/ });
  t.match(here.stdout, own);
  const keyFile = join(dir, 'key.json');
  writeFileSync(keyFile, JSON.stringify(publicIdentityToJson(vm.public)));
  for (const key of [own, vm.public.ed25519.toBase64(), `@${keyFile}`]) {
    const { code, stdout } = await cli('verify', stateDir, '--key', key, '--json');
    t.equal(code, 0, key);
    t.match(JSON.parse(stdout), { ok: true, unsigned: 0, firstSeq: 1, fingerprint: own, notes: [], unfinished: [] });
  }
  const eve = fingerprint(generateIdentity().public.ed25519);
  t.match(await cli('verify', stateDir, '--key', eve), {
    code: 65,
    stdout: '',
    stderr: /000001\.log, line 1, record 1: /,
  });
  t.match(await cli('verify', stateDir, '--key', 'nonsense'), { code: 64, stderr: /hint: / });
  t.match(await cli('verify', stateDir), { code: 64, stderr: /Whose log/ });
  t.match(await cli('verify', join(dir, 'none'), '--key', own), { code: 66 });
});

t.test(
  'C16 verify names the first bad record; a checkpoint seen before proves that nothing was rolled back',
  async (t) => {
    const { dir, stateDir, config, cli } = await setUp(t);
    const { log } = await openLog(stateDir);
    for (let i = 0; i < 5; i++) await log.record({ who: 'root', what: 'x', target: `${i}`, result: 'ok' });
    await log.close();
    const good = readLines(pathOf(stateDir));
    const seen = join(dir, 'seen');
    writeFileSync(seen, good.at(-1) as string);
    const { head } = JSON.parse((await cli('verify', '--config', config, '--json')).stdout);
    const expect = ['--expect-seq', `${head.seq}`, '--expect-hash', head.hash];
    t.match(await cli('verify', '--config', config, '--expect', seen), { code: 0 });
    t.match(await cli('verify', '--config', config, ...expect), { code: 0 });
    t.match(await cli('verify', '--config', config, '--expect-seq', '3'), { code: 64 });
    t.match(await cli('verify', '--config', config, '--expect', config), { code: 64 });

    writeLines(pathOf(stateDir), good.slice(0, 4));
    t.match(await cli('verify', '--config', config), { code: 0, stdout: /not signed +2 records/ });
    t.match(await cli('verify', '--config', config, '--expect', seen), {
      code: 65,
      stderr: /ends at record 4, but record 8/,
    });
    t.match(await cli('verify', '--config', config, ...expect), { code: 65 });

    writeLines(pathOf(stateDir), good.with(4, (good[4] as string).replace('root', 'eve')));
    const bad = await cli('verify', '--config', config, '--json');
    t.equal(bad.code, 65);
    t.match(JSON.parse(bad.stdout), { ok: false, fault: { line: 5, seq: 5, problem: 'changed' } });
    t.match(JSON.parse(bad.stderr), { error: { code: 'bad-data', message: /line 5, record 5: / } });
  },
);

t.test('C12 tail: for people, as stored, and as it grows through a change of files', async (t) => {
  const { stateDir, config, cli } = await setUp(t);
  const { log } = await openLog(stateDir, { maxMegabytes: 0.006 });
  await log.around({ who: 'SHA256:ann', what: 'drive.open', target: 'drv1' }, async () => {});
  await log.record({ who: 'unknown', what: 'channel.refused', target: '\u001b[2J\u202e\nx', result: 'malformed' });
  const { stdout } = await cli('tail', '--config', config);
  const lines = stdout.trimEnd().split('\n');
  t.match(lines.at(-2), /^2026-11-23T\S+ +4 +SHA256:ann {2}drive\.open {2}drv1 {2}→ ok$/, 'one line for both ends');
  t.equal(lines.at(-1)?.includes('\\x1b[2J??x'), true, 'no escape reaches the terminal');
  t.match((await cli('tail', '-n', '1', '--json', '--config', config)).stdout, /^\{"seq":5,.*\}\n$/);
  t.match(await cli('tail', '-n', '0', '--config', config), { code: 64 });

  const main = fileURLToPath(new URL('../../../vmc/main.ts', import.meta.url));
  const args = [main, 'audit', 'tail', '--follow', '--json', '-n', '2', '--config', config];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill());
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
    child.emit('said');
  });
  const saidMatch = async (pattern: RegExp) => {
    const signal = AbortSignal.timeout(20_000);
    while (!pattern.test(said)) await once(child, 'said', { signal });
  };
  await saidMatch(/"seq":5,/);
  for (let i = 0; i < 60; i++) await log.record({ who: 'root', what: 'x', target: `t${i}`, result: 'ok' });
  await saidMatch(/"target":"t59"/);
  const shown = said
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).seq);
  t.same(
    shown,
    shown.map((_, i) => i + 4),
    'none missing, none twice',
  );
  const ended = once(child, 'close');
  child.kill();
  await ended;
  await log.close();
  t.ok(readFileSync(pathOf(stateDir)).length < 6000, 'files have changed meanwhile');
});
