/** C3, C16: the people of a VM, stored and live. */
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RIGHTS } from '../../../shared/api/rights.ts';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import type { Change } from '../../../vmc/people/decide-change.ts';
import { People } from '../../../vmc/people/people.ts';

const [vm, otherVm, owner, bob, cay] = Array.from({ length: 5 }, () => generateIdentity()) as [
  Identity,
  Identity,
  Identity,
  Identity,
  Identity,
];
const OWNER = fingerprint(owner.public.ed25519);
const BOB = fingerprint(bob.public.ed25519);
const VM_ID = 'vm-0123456789ab';

async function open(stateDir: string, identity = vm, vmId = VM_ID, recorded: () => Promise<void> = async () => {}) {
  const events: Record<string, unknown>[] = [];
  const problems: string[] = [];
  const people = await People.open({
    ...{ stateDir, identity, vmId, owner: owner.public.ed25519, clock: () => 1000 },
    audit: {
      record: async (event) => {
        events.push({ ...event });
        await recorded();
      },
    },
    onProblem: (problem) => void problems.push(problem),
  });
  return { people, events, problems };
}

const add = (who: Identity, name: string, more: object = { role: 'user', rights: ['files', 'ports'] }): Change =>
  ({ kind: 'add', ed25519: who.public.ed25519, name, ...more }) as Change;

t.test('C3 nobody but the owner at first; who is added stays over a restart, signed and for root only', async (t) => {
  const dir = t.testdir();
  const { people, events } = await open(dir);
  t.same([...(people.rightsOf(owner.public.ed25519) ?? [])], RIGHTS);
  t.equal(people.rightsOf(bob.public.ed25519), undefined);
  t.equal(await people.change(OWNER, add(bob, 'bob')), 1);
  t.same([...(people.rightsOf(bob.public.ed25519) ?? [])], ['files', 'ports']);
  t.match(events, [{ who: OWNER, what: 'people.stored', target: /^version 1 sha256 [0-9a-f]{64}$/, result: 'ok' }]);
  t.equal(statSync(join(dir, 'people.json')).mode & 0o777, 0o600);
  const again = await open(dir);
  t.equal(again.people.trouble, undefined);
  t.same(again.people.state, people.state);
  t.equal(await again.people.change(OWNER, add(bob, 'bob')), 1, 'the same once more is not a change');
  t.equal(await again.people.change(OWNER, { kind: 'remove', person: BOB }), 2);
  t.equal(again.people.rightsOf(bob.public.ed25519), undefined);
  t.same(readdirSync(dir).sort(), ['people.json', 'people.version']);
});

t.test('C3 a people file that is damaged, edited, old or of another VM lets only the owner in, loudly', async (t) => {
  const root = t.testdir({ good: {}, cases: {} });
  const good = join(root, 'good');
  const first = await open(good);
  await first.people.change(OWNER, add(bob, 'bob'));
  const old = readFileSync(join(good, 'people.json'), 'utf8');
  await first.people.change(OWNER, add(cay, 'cay'));
  const now = readFileSync(join(good, 'people.json'), 'utf8');
  const path = join(root, 'case', 'people.json');
  const cases: [string, () => void, string, RegExp][] = [
    [
      'one right more',
      () => writeFileSync(path, now.replace('"files"', '"users"')),
      'owner-mismatch',
      /was changed since/,
    ],
    ['not JSON', () => writeFileSync(path, '{'), 'bad-data', /damaged/],
    ['empty', () => writeFileSync(path, ''), 'bad-data', /damaged/],
    ['one byte less', () => writeFileSync(path, now.slice(0, -1)), 'bad-data', /damaged/],
    ['a line more', () => writeFileSync(path, `${now}x\n`), 'bad-data', /damaged/],
    [
      'an old copy',
      () => writeFileSync(path, old),
      'bad-data',
      /old copy: it has version 1, and this VM has written 2/,
    ],
    ['gone', () => rmSync(path), 'bad-data', /missing; it was at version 2/],
    [
      'its number',
      () => writeFileSync(join(root, 'case', 'people.version'), 'x'),
      'bad-data',
      /people\.version is damaged/,
    ],
  ];
  for (const [what, spoil, code, message] of cases) {
    cpSync(good, join(root, 'case'), { recursive: true });
    spoil();
    const { people, events, problems } = await open(join(root, 'case'));
    t.match(people.trouble, { code, message, hint: /connect vm people reset/ }, what);
    t.equal(people.rightsOf(bob.public.ed25519), undefined);
    t.equal(people.rightsOf(owner.public.ed25519)?.size, RIGHTS.length);
    t.match(events, [{ what: 'people.refused', result: code }]);
    t.same(problems, ['only the owner may come in']);
    await t.rejects(people.change(OWNER, add(cay, 'cay2')), { code }, 'nothing is built on it');
    await t.rejects(people.reset(BOB), { code: 'forbidden' });
    const version = await people.reset(OWNER);
    t.equal(people.trouble, undefined);
    if (what !== 'its number') t.equal(version, 3, 'the version goes on, so that devices see no roll-back');
    t.equal(await people.change(OWNER, add(bob, 'bob')), version + 1);
    t.equal((await open(join(root, 'case'))).people.trouble, undefined);
    rmSync(join(root, 'case'), { recursive: true });
  }
  for (const [identity, vmId, code] of [
    [otherVm, VM_ID, 'owner-mismatch'],
    [vm, 'vm-ffffffffffff', 'owner-mismatch'],
  ] as const)
    t.match((await open(good, identity, vmId)).people.trouble, { code });
  await t.rejects(first.people.reset(OWNER), { code: 'wrong-state' }, 'people that are in order are not reset');
});

t.test('changes at once go one at a time, and an expected version keeps them from losing each other', async (t) => {
  const { people } = await open(t.testdir());
  const names = Array.from({ length: 12 }, (_, i) => `p${i}`);
  const versions = await Promise.all(names.map((name) => people.change(OWNER, add(generateIdentity(), name))));
  t.same(
    versions.toSorted((a, b) => a - b),
    names.map((_, i) => i + 1),
  );
  t.equal(people.state.people.length, 12);
  const [one, two] = await Promise.allSettled([
    people.change(OWNER, { kind: 'set-profile', name: 'a', rights: [] }, 12),
    people.change(OWNER, { kind: 'set-profile', name: 'b', rights: [] }, 12),
  ]);
  t.equal(one.status, 'fulfilled');
  t.match(two, { reason: { code: 'wrong-state', message: /version is 13, not 12/ } });
});

t.test('C16 who loses something is told at once, who gains is not', async (t) => {
  const { people } = await open(t.testdir());
  const cut: string[] = [];
  people.onShrunk(() => {
    throw new Error('a listener that fails stops no other');
  });
  const off = people.onShrunk((who) => void cut.push(who));
  const expectCut = async (change: Change, wanted: string[], what: string) => {
    cut.length = 0;
    await people.change(OWNER, change);
    t.same(cut, wanted, what);
  };
  await people.change(OWNER, { kind: 'set-profile', name: 'red', rights: ['files', 'ports'] });
  await expectCut(add(bob, 'bob'), [], 'added');
  await expectCut({ kind: 'change', person: BOB, profile: 'red' }, [], 'the same rights by a profile');
  await expectCut({ kind: 'set-profile', name: 'red', rights: ['files', 'ports', 'apps'] }, [], 'the profile grew');
  await expectCut({ kind: 'set-profile', name: 'red', rights: ['apps', 'ports'] }, [BOB], 'the profile lost one');
  await expectCut({ kind: 'change', person: BOB, role: 'manager' }, [], 'raised');
  await expectCut({ kind: 'change', person: BOB, role: 'co-owner' }, [], 'raised again');
  await expectCut({ kind: 'change', person: BOB, role: 'user', rights: [] }, [BOB], 'demoted');
  await expectCut({ kind: 'remove', person: BOB }, [BOB], 'removed, who had no right but to be here');
  off();
  await people.change(OWNER, add(bob, 'bob'));
  cut.length = 0;
  await people.change(OWNER, { kind: 'remove', person: BOB });
  t.same(cut, []);
});

t.test(
  'C16 nobody is cut later because the disk of the audit log is slow; who asked is, after the answer',
  async (t) => {
    const keepRunning = setTimeout(() => {}, 20_000); // what is waited for keeps no process alive
    t.teardown(() => clearTimeout(keepRunning));
    const record = Promise.withResolvers<void>();
    let slow = false;
    const { people } = await open(t.testdir(), vm, VM_ID, async () => {
      if (slow) await record.promise;
    });
    await people.change(OWNER, add(bob, 'bob'));
    await people.change(OWNER, add(cay, 'cay', { role: 'manager' }));
    slow = true;
    const first = Promise.withResolvers<string>();
    people.onShrunk(first.resolve);
    const removed = people.change(OWNER, { kind: 'remove', person: BOB });
    t.equal(await first.promise, BOB, 'though nothing is recorded yet');
    record.resolve();
    await removed;
    const own = Promise.withResolvers<string>();
    people.onShrunk(own.resolve);
    const CAY = fingerprint(cay.public.ed25519);
    await people.change(CAY, { kind: 'remove', person: CAY });
    t.equal(await own.promise, CAY);
  },
);

t.test('a change that cannot be stored is not made, and says so', async (t) => {
  const dir = t.testdir();
  const { people } = await open(dir);
  await people.change(OWNER, add(bob, 'bob'));
  rmSync(dir, { recursive: true });
  await t.rejects(people.change(OWNER, add(cay, 'cay')), { code: 'ENOENT' });
  t.equal(people.rightsOf(cay.public.ed25519), undefined);
});
