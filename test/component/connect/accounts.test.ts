/** B2, B4: keys and accounts, against the real backend. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { runConnect } from '../../../connect/cli.ts';
import { fakeIo } from '../../unit/connect/fake-io.ts';
import { PASSPHRASE, startWorld } from './fake-world.ts';

t.test('B4 keygen: sealed, never replaced, private', async (t) => {
  const folder = join(t.testdir(), 'new');
  const run = async (...argv: string[]) => {
    const io = fakeIo({ folder, secrets: { 3: PASSPHRASE } });
    return { code: await runConnect(argv, io), io };
  };
  const made = await run('keygen', '--passphrase-fd', '3', '--json');
  t.equal(made.code, 0, made.io.errors());
  const { fingerprint } = JSON.parse(made.io.output());
  t.match(fingerprint, /^SHA256:[A-Za-z0-9+/]{43}$/);
  t.equal((await run('fingerprint')).io.output(), `${fingerprint}\n`);
  t.equal(statSync(folder).mode & 0o777, 0o700);
  t.equal(statSync(join(folder, 'identity.json')).mode & 0o777, 0o600);
  const before = readFileSync(join(folder, 'identity.json'));
  const again = await run('keygen', '--passphrase-fd', '3');
  t.equal(again.code, 73);
  t.match(again.io.errors(), /never replaced/);
  t.strictSame(readFileSync(join(folder, 'identity.json')), before);
  t.equal((await run('keygen', '--dir', join(folder, 'other'))).code, 64, 'no terminal and no descriptor');
});

t.test('a folder in which others may write is refused, a missing identity named', async (t) => {
  const folder = join(t.testdir(), 'open');
  await mkdir(folder);
  await chmod(folder, 0o777);
  const io = fakeIo({ folder });
  t.equal(await runConnect(['fingerprint'], io), 78);
  t.match(io.errors(), /chmod 700/);
  await chmod(folder, 0o700);
  const next = fakeIo({ folder });
  t.equal(await runConnect(['fingerprint', '--json'], next), 66);
  t.match(JSON.parse(next.errors()), { error: { code: 'not-found', hint: /connect keygen/ } });
  await writeFile(join(folder, 'identity.json'), '{}');
  t.equal(await runConnect(['fingerprint'], fakeIo({ folder })), 65);
});

t.test('B2 claim, sign in, invite a second person, and what is refused', async (t) => {
  const world = await startWorld(t);
  const ada = await world.person();
  const place = ['--backend', world.url, '--pin', world.pin];

  t.equal((await ada.run('whoami')).code, 69, 'no backend yet');
  t.match((await ada.run('claim', '--name', 'ada', '--code', world.firstCode)).io.errors(), /--backend and --pin/);
  t.equal((await ada.run('claim', ...place, '--name', 'Ada!', '--code', world.firstCode)).code, 64);
  t.not((await ada.run('claim', ...place, '--name', 'ada', '--code', 'WRONG-WRONG-WRONG')).code, 0);
  const otherPin = 'ab'.repeat(32);
  const wrongPin = await ada.run(
    'claim',
    '--backend',
    world.url,
    '--pin',
    otherPin,
    '--name',
    'ada',
    '--code',
    world.firstCode,
  );
  t.equal(wrongPin.code, 76);
  t.match(wrongPin.io.errors(), /not the pinned one/);
  t.equal((await ada.run('whoami')).code, 69, 'a claim that failed binds nothing');

  const claimed = (await ada.ok('claim', ...place, '--name', 'ada', '--code', world.firstCode, '--json')).json();
  t.match(claimed, { name: 'ada', role: 'super-admin', backend: world.url });
  t.match((await ada.ok('whoami', '--json')).json(), { name: 'ada', fingerprint: /^SHA256:/ });
  t.match((await ada.ok('login')).io.output(), /^ada {2}super-admin {2}SHA256:/);
  t.strictSame(readdirSync(ada.folder).sort(), ['backend.json', 'identity.json'], 'no session is kept');

  const wrong = await ada.run('whoami', '--passphrase-fd', '4');
  t.equal(wrong.code, 65);
  t.match(wrong.io.errors(), /passphrase does not open/);

  const invited = await ada.ok('user', 'invite');
  t.match(invited.io.errors(), `connect claim --backend ${world.url} --pin ${world.pin}`);
  const bob = await world.person();
  const code = invited.io.output().trim();
  await bob.ok('claim', ...place, '--name', 'bob', '--code', code);
  const eve = await world.person();
  t.not((await eve.run('claim', ...place, '--name', 'eve', '--code', code)).code, 0, 'a code works once');
  t.equal((await eve.run('login', ...place)).code, 77, 'an identity without an account');

  const { users } = (await bob.ok('user', 'list', '--json')).json<{ users: { name: string; role: string }[] }>();
  t.strictSame(users.map(({ name, role }) => `${name} ${role}`).sort(), ['ada super-admin', 'bob user']);
  t.equal((await bob.run('user', 'invite')).code, 77);
  t.equal((await bob.run('host', 'add', 'rack')).code, 77);

  const elsewhere = await ada.run(
    'claim',
    '--backend',
    'https://127.0.0.1:2',
    '--pin',
    otherPin,
    '--name',
    'ada',
    '--code',
    'x'.repeat(16),
  );
  t.equal(elsewhere.code, 73, 'a folder is one person at one backend');
  t.match(elsewhere.io.errors(), /another --dir/);
  t.notMatch(world.log.join('\n'), code, 'no code in the log');
});

t.test('cancelled before it began: 130, and nothing was asked', async (t) => {
  const world = await startWorld(t);
  const ada = await world.admin('ada');
  const abort = new AbortController();
  const { VmcError } = await import('../../../shared/errors.ts');
  abort.abort(new VmcError('cancelled', 'Cancelled.'));
  t.equal(await ada.start(abort.signal, 'whoami').ended, 130);
});
