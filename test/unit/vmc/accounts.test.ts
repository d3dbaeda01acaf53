/** C8: which account somebody gets, and what is missing of it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { nameSchema } from '../../../shared/names.ts';
import { readAccounts, writeAccounts } from '../../../vmc/accounts/account-file.ts';
import { parseGroup, parsePasswd } from '../../../vmc/accounts/parse-getent.ts';
import { type Account, candidateUids, isReserved, planAccount, UIDS } from '../../../vmc/accounts/plan-account.ts';
import { planMake } from '../../../vmc/accounts/plan-make.ts';
import { planMembers } from '../../../vmc/accounts/plan-members.ts';

const digest = (first: number) => new Uint8Array(32).fill(first, 0, 4);
const nothing = { names: new Set<string>(), ids: new Set<number>() };
const person = (letter: string) => `SHA256:${letter.repeat(43)}`;

t.test('the person’s name, or that with a number when it is taken or reserved', async (t) => {
  t.equal(planAccount('bob', digest(0), [], nothing).name, 'bob');
  t.equal(planAccount('bob', digest(0), [{ name: 'bob', uid: 30_000 }], nothing).name, 'bob-2');
  t.equal(planAccount('bob', digest(0), [], { ...nothing, names: new Set(['bob', 'bob-2']) }).name, 'bob-3');
  for (const power of ['docker', 'root', 'sudo', 'wheel', 'lxd', 'postgres'])
    t.equal(planAccount(power, digest(0), [], nothing).name, `${power}-2`);
  for (const power of ['libvirt', 'vmc', 'vmc-drives', 'systemd-network'])
    t.equal(planAccount(power, digest(0), [], nothing).name, `u-${power}`);
  const long = `vmc${'x'.repeat(26)}-xx`;
  t.equal(planAccount(long, digest(0), [], nothing).name, `u-${long}`.slice(0, 31), 'no longer than useradd takes');
});

t.test('a uid follows from the key, and passes over those that are or were somebody’s', async (t) => {
  const uid = planAccount('bob', digest(0), [], nothing).uid;
  t.equal(uid, UIDS.first);
  t.equal(planAccount('other', digest(0), [], nothing).uid, uid, 'the same in another VM');
  t.equal(planAccount('eve', digest(0), [{ name: 'bob', uid }], nothing).uid, uid + 1);
  t.equal(planAccount('eve', digest(0), [], { ...nothing, ids: new Set([uid, uid + 1]) }).uid, uid + 2);
});

t.test('property: never somebody else’s name or uid, always fit for useradd', async (t) => {
  const name = fc.stringMatching(/^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$/);
  const wanted = fc.oneof(name, fc.constantFrom('bob', 'vmc', 'systemd-x', 'root', 'owner', 'docker', 'a'.repeat(32)));
  fc.assert(
    fc.property(
      fc.array(fc.tuple(wanted, fc.uint8Array({ minLength: 4, maxLength: 4 })), { maxLength: 60 }),
      fc.array(wanted, { maxLength: 10 }),
      fc.array(fc.integer({ min: UIDS.first, max: UIDS.first + 50 }), { maxLength: 20 }),
      (people, takenNames, takenIds) => {
        const known: Account[] = [];
        const taken = { names: new Set(takenNames), ids: new Set(takenIds) };
        for (const [it, key] of people) {
          let account: Account;
          try {
            account = planAccount(it, key, known, taken);
          } catch (error) {
            if (/There is no free account/.test(String(error))) continue;
            throw error;
          }
          if (!nameSchema.safeParse(account.name).success) throw new Error(`bad name ${account.name}`);
          if (account.uid < UIDS.first || account.uid > UIDS.last) throw new Error(`bad uid ${account.uid}`);
          if (taken.names.has(account.name) || taken.ids.has(account.uid) || isReserved(account.name))
            throw new Error(`taken: ${account.name} ${account.uid}`);
          if (known.some((other) => other.name === account.name || other.uid === account.uid))
            throw new Error(`given twice: ${account.name} ${account.uid}`);
          known.push(account);
        }
      },
    ),
  );
  t.pass('held');
});

t.test('the range goes round, and ends', async (t) => {
  const last = new Uint8Array(4);
  new DataView(last.buffer).setUint32(0, UIDS.last - UIDS.first);
  t.same(candidateUids(last, []).slice(0, 2), [UIDS.last, UIDS.first]);
  const all = Array.from({ length: UIDS.last - UIDS.first + 1 }, (_, index) => ({
    name: `u${index}`,
    uid: UIDS.first + index,
  }));
  t.throws(() => planAccount('bob', digest(0), all, nothing), { code: 'limit' });
});

t.test(
  'what is missing of an account, after a crash at any point; nothing when somebody else is in its place',
  async (t) => {
    const bob = { name: 'bob', uid: 20_001 };
    const user = { name: 'bob', uid: 20_001, gid: 20_001 };
    const group = { name: 'bob', gid: 20_001, members: [] };
    t.same(planMake(bob, { users: [], groups: [], home: 'missing' }), ['group', 'user', 'home']);
    t.same(planMake(bob, { users: [], groups: [group], home: 'missing' }), ['user', 'home']);
    t.same(planMake(bob, { users: [user], groups: [group], home: 'missing' }), ['home']);
    t.same(planMake(bob, { users: [user], groups: [group], home: 20_001 }), []);
    t.same(planMake(bob, { users: [user, user], groups: [group, group], home: 20_001 }), [], 'found by name and by id');
    for (const [what, foreign] of [
      ['a user of this name', { users: [{ ...user, uid: 1001 }] }],
      ['a user of this uid', { users: [{ ...user, name: 'eve' }] }],
      ['another main group', { users: [{ ...user, gid: 0 }] }],
      ['a group of this name', { groups: [{ ...group, gid: 27 }] }],
      ['a group of this gid', { groups: [{ ...group, name: 'sudo' }] }],
      ['a home of root', { home: 0 }],
      ['a link for a home', { home: 'other' as const }],
    ] as const)
      t.throws(
        () => planMake(bob, { users: [user], groups: [group], home: 20_001, ...foreign }),
        { code: 'wrong-state' },
        what,
      );
  },
);

t.test('getent’s lines', async (t) => {
  t.same(parsePasswd('bob:x:20001:20001::/home/bob:/bin/bash\nshort:x:1\nbad:x:a:1:::\n'), [
    { name: 'bob', uid: 20_001, gid: 20_001 },
  ]);
  t.same(parseGroup('vmc-drives:x:19999:ann,bob\nempty:x:5:\n:::\n'), [
    { name: 'vmc-drives', gid: 19_999, members: ['ann', 'bob'] },
    { name: 'empty', gid: 5, members: [] },
  ]);
});

t.test('members: ours come and go, others stay', async (t) => {
  const mayBe = new Map([
    ['ann', true],
    ['bob', false],
    ['joe', true],
    ['zoe', false],
  ]);
  t.same(planMembers(['ann', 'bob', 'backup'], mayBe), { add: ['joe'], remove: ['bob'] });
});

t.test('the file: what was written is read; damaged, none is made in its place', async (t) => {
  const dir = t.testdir();
  t.same(await readAccounts(dir), new Map());
  const accounts = new Map([
    [person('A'), { name: 'bob', uid: 20_001 }],
    [person('B'), { name: 'bob-2', uid: 20_002 }],
  ]);
  await writeAccounts(dir, accounts);
  t.same(await readAccounts(dir), accounts);
  const account = (who: string, name: string, uid: number) => ({ person: person(who), name, uid });
  for (const [what, damaged] of [
    ['cut short', '{"format":1,"accounts":[{'],
    ['one uid for two', [account('A', 'a', 20_001), account('B', 'b', 20_001)]],
    ['one name for two', [account('A', 'a', 20_001), account('B', 'a', 20_002)]],
    ['a person twice', [account('A', 'a', 20_001), account('A', 'b', 20_002)]],
    ['root', [account('A', 'a', 0)]],
    ['a path for a name', [account('A', '../a', 20_001)]],
  ] as const) {
    const text = typeof damaged === 'string' ? damaged : JSON.stringify({ format: 1, accounts: damaged });
    writeFileSync(join(dir, 'accounts.json'), text);
    await t.rejects(readAccounts(dir), { code: 'bad-data' }, what);
  }
});
