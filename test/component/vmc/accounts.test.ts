/** C8, C7: real accounts, made whole after a crash at any point; drives that their people can use. */
import { chmod, chown, mkdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { run } from '../../../shared/run.ts';
import { Accounts } from '../../../vmc/accounts/accounts.ts';
import { giveToPeople } from '../../../vmc/drives/give-to-people.ts';
import { freshAccounts, inOwnEtc } from './in-own-etc.ts';

const person = (letter: string) => `SHA256:${letter.repeat(43)}`;

async function setUp(t: Test, homes = '/home') {
  await freshAccounts();
  const stateDir = t.testdir();
  const mayUse = new Set<string>();
  const make = () => new Accounts({ stateDir, homes, shell: '/bin/bash', mayUseDrives: (who) => mayUse.has(who) });
  return { stateDir, make, mayUse };
}

const members = async () => /^vmc-drives:x:19999:(.*)$/m.exec(await readFile('/etc/group', 'utf8'))?.[1];

await inOwnEtc(import.meta.url, () => {
  t.test('C8 whatever a crash has left, the next attempt ends with the same account', async (t) => {
    const { make } = await setUp(t);
    const account = await make().ensure(person('A'), 'bob');
    const { uid } = account;
    const whole = async (what: string) => {
      t.same(await make().ensure(person('A'), 'another name by now'), account, what);
      t.match(
        await readFile('/etc/passwd', 'utf8'),
        new RegExp(`^bob:x:${uid}:${uid}::/home/bob:/bin/bash$`, 'm'),
        what,
      );
      t.match(await readFile('/etc/group', 'utf8'), new RegExp(`^bob:x:${uid}:$`, 'm'), what);
      const home = await stat('/home/bob');
      t.match({ uid: home.uid, gid: home.gid, mode: home.mode & 0o7777 }, { uid, gid: uid, mode: 0o700 }, what);
    };
    const rootless = (path: string) => rm(path, { recursive: true, force: true });
    await whole('nothing was missing');
    await rootless('/home/bob');
    await whole('before the home');
    await rename('/home/bob', '/home/.vmc-new-bob');
    await writeFile('/home/.vmc-new-bob/half', 'half copied');
    await whole('in the middle of the home');
    t.equal((await stat('/home/.vmc-new-bob').catch(() => undefined))?.uid, undefined, 'nothing lies around');
    await run({ file: 'userdel', args: ['bob'], timeoutMs: 20_000 });
    await whole('before everything');
    await run({ file: 'userdel', args: ['bob'], timeoutMs: 20_000 });
    await run({ file: 'groupadd', args: ['--gid', `${uid}`, 'bob'], timeoutMs: 20_000 });
    await whole('after the group');
  });

  t.test('C8 many at once: each has their own, and all are there after a restart', async (t) => {
    const { make } = await setUp(t);
    const accounts = make();
    const people = [...'ABCDEFGHIJ'].map(person);
    const all = await Promise.all(people.map((who) => accounts.ensure(who, 'bob')));
    t.equal(new Set(all.map(({ uid }) => uid)).size, people.length);
    t.same(
      new Set(all.map(({ name }) => name)),
      new Set(['bob', ...[2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => `bob-${n}`)]),
    );
    const again = make();
    for (const [index, who] of people.entries()) t.equal((await again.find(who))?.uid, all[index]?.uid);
    t.equal(await again.find(person('Z')), undefined);
  });

  t.test('C8 what belongs to somebody else is left alone', async (t) => {
    const { make, stateDir } = await setUp(t);
    const { uid } = await make().ensure(person('A'), 'bob');
    await chown('/home/bob', 0, 0);
    await t.rejects(make().ensure(person('A'), 'bob'), { code: 'wrong-state', message: /home/ });
    await chown('/home/bob', uid, uid);
    await mkdir('/home/ann');
    t.match(await make().ensure(person('B'), 'ann'), { name: 'ann-2' }, 'a home that is there is nobody’s to take');
    await run({ file: 'usermod', args: ['--login', 'robert', 'bob'], timeoutMs: 20_000 });
    await t.rejects(make().ensure(person('A'), 'bob'), { code: 'wrong-state', message: /robert/ });
    await writeFile(join(stateDir, 'accounts.json'), '{}');
    await t.rejects(make().ensure(person('C'), 'joe'), { code: 'bad-data' });

    await mkdir('/mnt/open', { mode: 0o777 });
    await chmod('/mnt/open', 0o777);
    for (const [homes, why] of [
      ['/mnt/open', /others can write/],
      ['/mnt/closed-drive/home', /not there/],
    ] as const) {
      const { make } = await setUp(t, homes);
      await mkdir('/mnt/open', { mode: 0o777 });
      await chmod('/mnt/open', 0o777);
      await t.rejects(make().ensure(person('A'), 'bob'), { code: 'wrong-state', message: why });
    }
  });

  t.test('C8 no home where people could put another folder in place of all homes', async (t) => {
    const { make } = await setUp(t, '/mnt/drive/homes');
    const accounts = make();
    await mkdir('/mnt/drive/homes', { recursive: true, mode: 0o755 });
    await chown('/mnt/drive', 0, await accounts.drivesGid());
    const refused = { code: 'wrong-state', message: /others can write to \/mnt\/drive\b/ };
    await chmod('/mnt/drive', 0o2770); // as giveToPeople leaves it
    await t.rejects(accounts.ensure(person('A'), 'bob'), refused);
    await chmod('/mnt/drive', 0o3770);
    t.match(await accounts.ensure(person('A'), 'bob'), { home: '/mnt/drive/homes/bob' }, 'nobody moves what is root’s');
    await chmod('/mnt/drive', 0o2770);
    await t.rejects(accounts.ensure(person('A'), 'bob'), refused, 'a home that is there is no better');
    await chmod('/mnt/drive', 0o3770);
    await rename('/mnt/drive/homes', '/mnt/drive/own');
    await symlink('own', '/mnt/drive/homes');
    await t.rejects(accounts.ensure(person('A'), 'bob'), { code: 'wrong-state', message: /not a folder/ });
  });

  t.test('C7 a fresh drive is given to those who may use drives; one that was changed is not', async (t) => {
    const { make, mayUse } = await setUp(t);
    const accounts = make();
    mayUse.add(person('A')).add(person('B'));
    const [ann] = [await accounts.ensure(person('A'), 'ann'), await accounts.ensure(person('B'), 'bob')];
    await accounts.ensure(person('C'), 'eve');
    t.equal(await members(), 'ann,bob');
    await run({ file: 'gpasswd', args: ['--add', 'nobody', 'vmc-drives'], timeoutMs: 20_000 });
    mayUse.delete(person('B'));
    await accounts.rightsChanged();
    t.equal(await members(), 'ann,nobody', 'ours come and go, others stay');

    const fresh = '/mnt/fresh';
    await mkdir(join(fresh, 'lost+found'), { recursive: true });
    await chmod(fresh, 0o755);
    await giveToPeople(fresh, () => accounts.drivesGid());
    const given = await stat(fresh);
    t.match({ uid: given.uid, gid: given.gid, mode: given.mode & 0o7777 }, { uid: 0, gid: 19_999, mode: 0o2770 });
    const as = (uid: number, name: string, args: string[]) =>
      run({
        file: 'setpriv',
        args: ['--reuid', `${uid}`, '--regid', `${uid}`, '--init-groups', '--', name, ...args],
        okExitCodes: [0, 1],
        timeoutMs: 20_000,
      });
    t.equal((await as(ann.uid, 'touch', [join(fresh, 'ours')])).exitCode, 0);
    t.equal((await stat(join(fresh, 'ours'))).gid, 19_999);
    const eve = (await accounts.find(person('C')))?.uid ?? 0;
    t.equal((await as(eve, 'touch', [join(fresh, 'not')])).exitCode, 1);

    for (const [what, change] of [
      ['something is in it', () => writeFile('/mnt/changed/data', '')],
      ['another mode', () => chmod('/mnt/changed', 0o711)],
      ['another owner', () => chown('/mnt/changed', ann.uid, 0)],
    ] as const) {
      await rm('/mnt/changed', { recursive: true, force: true });
      await mkdir('/mnt/changed', { mode: 0o755 });
      await change();
      const before = await stat('/mnt/changed');
      await giveToPeople('/mnt/changed', () => accounts.drivesGid());
      const after = await stat('/mnt/changed');
      t.same([after.uid, after.gid, after.mode], [before.uid, before.gid, before.mode], what);
    }
    await run({ file: 'groupmod', args: ['--gid', '5555', 'vmc-drives'], timeoutMs: 20_000 });
    await t.rejects(accounts.drivesGid(), { code: 'wrong-state', message: /5555/ });
  });
});
