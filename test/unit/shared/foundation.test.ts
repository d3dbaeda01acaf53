import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import * as z from 'zod';
import { concatBytes, equalBytes, wipe } from '../../../shared/bytes.ts';
import { humanBytes, parseBytes, table } from '../../../shared/cli/program.ts';
import { parseToml } from '../../../shared/config/load-toml.ts';
import { ERROR_EXIT, errorFromFields, publicError, VmcError } from '../../../shared/errors.ts';
import { readIfThere, writeAtomic, writeOnce } from '../../../shared/files.ts';
import { base64Schema, driveIdSchema, nameSchema } from '../../../shared/names.ts';
import { printable, run } from '../../../shared/run.ts';
import { Undo } from '../../../shared/undo.ts';
import { parseJson } from '../../../shared/validate.ts';

function folder(t: { teardown(fn: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'vmc-test-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

t.test('writeAtomic replaces a file as a whole, with the mode asked for', async (t) => {
  const dir = folder(t);
  const path = join(dir, 'f');
  await writeAtomic(path, 'one', 0o600);
  await writeAtomic(path, 'two', 0o640);
  t.equal(readFileSync(path, 'utf8'), 'two');
  t.equal(statSync(path).mode & 0o777, 0o640);
  t.strictSame(readdirSync(dir), ['f'], 'nothing is left beside it');
});

t.test('writeOnce: of racing writers one wins, and the loser changes nothing', async (t) => {
  const dir = folder(t);
  const path = join(dir, 'f');
  const won = await Promise.all(['a', 'b', 'c', 'd'].map((data) => writeOnce(path, data, 0o600)));
  t.equal(won.filter(Boolean).length, 1);
  t.equal(readFileSync(path, 'utf8'), ['a', 'b', 'c', 'd'][won.indexOf(true)]);
  t.equal(await writeOnce(path, 'z', 0o600), false);
  t.strictSame(readdirSync(dir), ['f']);
});

t.test('absent and unreadable are different answers', async (t) => {
  const dir = folder(t);
  t.equal(await readIfThere(join(dir, 'nothing')), undefined);
  await t.rejects(readIfThere(dir), { code: 'EISDIR' });
});

t.test('run: argv is not a shell, stdin is given, the environment is bare', async (t) => {
  t.equal((await run({ file: 'printf', args: ['%s', '$(id) ; `id`'], timeoutMs: 5000 })).stdout, '$(id) ; `id`');
  t.equal((await run({ file: 'cat', args: [], stdin: 'secret', timeoutMs: 5000 })).stdout, 'secret');
  process.env.VMC_TEST_SECRET = 'inherited';
  t.teardown(() => delete process.env.VMC_TEST_SECRET);
  const { stdout } = await run({ file: 'env', args: [], timeoutMs: 5000 });
  t.match(stdout, /^LC_ALL=C$/m);
  t.notMatch(stdout, /VMC_TEST_SECRET|^HOME=/m, 'nothing of our own environment is handed on');
});

t.test('run: every failure is one typed error that never shows argv or stdin', async (t) => {
  const failing = run({
    file: 'sh',
    args: ['-c', 'echo oops >&2; exit 3', 'argv-secret'],
    stdin: 'stdin-secret',
    timeoutMs: 5000,
  });
  const error = (await failing.catch((error: unknown) => error)) as Error;
  t.match(error, { code: 'command-failed', reason: 'exit', exitCode: 3, message: /oops/ });
  t.notMatch(JSON.stringify(error) + error.message + error.stack, /argv-secret|stdin-secret/);
  await t.rejects(run({ file: 'sleep', args: ['9'], timeoutMs: 50 }), { code: 'timeout', reason: 'timeout' });
  await t.rejects(run({ file: 'no-such-command', args: [], timeoutMs: 50 }), {
    code: 'command-failed',
    reason: 'not-found',
    hint: /Install/,
  });
  await t.rejects(run({ file: 'head', args: ['-c', '100000', '/dev/zero'], timeoutMs: 5000, maxOutputBytes: 1000 }), {
    code: 'command-failed',
    reason: 'output',
  });
  await t.rejects(run({ file: 'sleep', args: ['9'], timeoutMs: 5000, signal: AbortSignal.timeout(30) }), {
    code: 'cancelled',
  });
  t.equal((await run({ file: 'sh', args: ['-c', 'exit 2'], timeoutMs: 5000, okExitCodes: [0, 2] })).exitCode, 2);
});

t.test('a command cannot write on the terminal through an error', async (t) => {
  t.equal(printable('a\u001b[2Jb\nc\u0007'), 'a\\x1b[2Jb\nc\\x07');
});

t.test('undo runs backwards, to the end, and reports what failed', async (t) => {
  const done: string[] = [];
  const undo = new Undo();
  undo.add('first', () => void done.push('first'));
  undo.add('second', () => {
    throw new Error('stuck');
  });
  undo.add('third', () => void done.push('third'));
  t.match(await undo.rollBack(), [{ what: 'second' }]);
  t.strictSame(done, ['third', 'first']);
  undo.add('kept', () => void done.push('kept'));
  undo.commit();
  t.strictSame(await undo.rollBack(), []);
});

t.test('errors cross a boundary as code, message and hint only', async (t) => {
  t.strictSame(publicError(new VmcError('busy', 'm', 'h', { cause: new Error('inner') })), {
    code: 'busy',
    message: 'm',
    hint: 'h',
  });
  t.match(publicError(new Error('secret')), { code: 'internal', message: /wrong inside/ });
  t.match(errorFromFields({ code: 'busy', message: 'm', hint: 'h' }), { code: 'busy', hint: 'h' });
  for (const odd of [null, 1, {}, { code: 'toString', message: 'm' }, { code: 'busy' }])
    t.match(errorFromFields(odd), { code: 'internal' });
  for (const exit of Object.values(ERROR_EXIT)) t.ok(exit > 0 && exit < 256);
});

t.test('configuration: unknown keys and wrong values are refused by name, values are not repeated', async (t) => {
  const schema = z.strictObject({ port: z.number().int(), tunnel: z.strictObject({ ports: z.array(z.number()) }) });
  t.strictSame(parseToml('port = 1\n[tunnel]\nports = [2]', schema, 'f'), { port: 1, tunnel: { ports: [2] } });
  t.throws(() => parseToml('port = 1\nprot = 2\n[tunnel]\nports = []', schema, 'f.toml'), {
    code: 'bad-config',
    message: /f\.toml: unknown key prot/,
  });
  t.throws(() => parseToml('port = "hunter2"\n[tunnel]\nports = []', schema, 'f'), { message: /port: / });
  t.throws(() => parseToml('port = = 1', schema, 'f'), { message: /not TOML at line 1/ });
  t.throws(() => parseJson(schema, '{', 'It'), { code: 'bad-data', message: 'It is not JSON.' });
});

t.test('names and ids', async (t) => {
  for (const good of ['a', 'data', 'data-2', 'a'.repeat(32)]) t.ok(nameSchema.safeParse(good).success, good);
  for (const bad of ['', 'A', '-a', 'a-', '1a', 'a/b', '..', 'a b', 'a'.repeat(33), 'a\n'])
    t.notOk(nameSchema.safeParse(bad).success, JSON.stringify(bad));
  t.notOk(driveIdSchema.safeParse('drv0123456789abcdef\n').success);
  t.strictSame([...base64Schema(2, 2).parse('AQI=')], [1, 2]);
  t.notOk(base64Schema(2, 2).safeParse('AQID').success);
  t.notOk(base64Schema(32, 32).safeParse('A'.repeat(4000)).success);
});

t.test('bytes', async (t) => {
  t.ok(equalBytes(new Uint8Array([1, 2]), new Uint8Array([1, 2])));
  t.notOk(equalBytes(new Uint8Array([1, 2]), new Uint8Array([1, 3])));
  t.notOk(equalBytes(new Uint8Array([1, 2]), new Uint8Array([1])));
  t.strictSame([...concatBytes(new Uint8Array([1]), new Uint8Array(), new Uint8Array([2]))], [1, 2]);
  const secret = new Uint8Array([1, 2]);
  wipe(secret);
  t.strictSame([...secret], [0, 0]);
});

t.test('sizes as people write and read them', async (t) => {
  t.equal(parseBytes('2GiB'), 2 * 1024 ** 3);
  t.equal(parseBytes('512M'), 512 * 1024 ** 2);
  t.equal(parseBytes('7'), 7);
  for (const bad of ['', '2GB', '-1', '1.5G', '2 cups']) t.throws(() => parseBytes(bad), { code: 'bad-request' }, bad);
  t.equal(humanBytes(1536), '1.5 KiB');
  t.equal(humanBytes(12), '12 B');
  t.equal(
    table([
      ['a', 'bb'],
      ['ccc', 'd'],
    ]),
    'a    bb\nccc  d',
  );
});
