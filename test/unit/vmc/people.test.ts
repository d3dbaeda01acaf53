/** C3, C9: who may change whom. The rules alone; nothing is stored. */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import type { GivenRole } from '../../../shared/api/people.ts';
import { RIGHTS, type Right } from '../../../shared/api/rights.ts';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { ed25519PublicKey } from '../../../shared/identity/keys.ts';
import { type Change, decideChange } from '../../../vmc/people/decide-change.ts';
import {
  fromStored,
  holdsAll,
  MAX_PEOPLE,
  memberOf,
  nobody,
  type PeopleState,
  storedPeopleSchema,
  toStored,
  whoLost,
} from '../../../vmc/people/people-state.ts';

const keys = Array.from({ length: 8 }, () => ed25519PublicKey(new Uint8Array(randomBytes(32))));
const prints = keys.map(fingerprint);
const [OWNER = '', CO = '', CO2 = '', MANAGER = '', MANAGER2 = '', CHIEF = '', USER = '', NEW = ''] = prints;
const NEW_KEY = keys[7] as (typeof keys)[number];

function start(): PeopleState {
  const person = (i: number, name: string, standing: object) => ({
    ...{ ed25519: (keys[i] as Uint8Array).toBase64(), name, standing, addedBy: OWNER, addedAt: 0 },
  });
  const stored = storedPeopleSchema.parse({
    version: 7,
    people: [
      person(1, 'co', { role: 'co-owner' }),
      person(2, 'co2', { role: 'co-owner' }),
      person(3, 'manager', { role: 'manager' }),
      person(4, 'manager2', { role: 'manager' }),
      person(5, 'chief', { role: 'user', rights: ['users', 'files'] }),
      person(6, 'user', { role: 'user', profile: 'students' }),
    ],
    profiles: [
      { name: 'students', rights: ['files'] },
      { name: 'spare', rights: ['drives.full'] },
    ],
  });
  return fromStored(OWNER, stored);
}

const attempt = (actor: string, change: Change, state = start()): string => {
  try {
    return decideChange(actor, state, change, 1) === state ? 'unchanged' : 'done';
  } catch (error) {
    return (error as { code: string }).code;
  }
};

t.test('C3 who may give which role, and take it: the whole table', async (t) => {
  const add = (role: GivenRole): Change => ({ kind: 'add', ed25519: NEW_KEY, name: 'new', role });
  const remove = (person: string): Change => ({ kind: 'remove', person });
  const to = (person: string, role: GivenRole): Change => ({ kind: 'change', person, role });
  const actors = [OWNER, CO, MANAGER, CHIEF, USER, NEW];
  const table: [string, Change, string][] = [
    //                                                owner co    man.  chief user  stranger
    ['add a co-owner', add('co-owner'), /*         */ 'yes   no    no    no    no    no'],
    ['add a manager', add('manager'), /*           */ 'yes   yes   no    no    no    no'],
    ['add a user', add('user'), /*                 */ 'yes   yes   yes   yes   no    no'],
    ['remove another co-owner', remove(CO2), /*    */ 'yes   no    no    no    no    no'],
    ['remove another manager', remove(MANAGER2), /**/ 'yes   yes   no    no    no    no'],
    ['remove a user', remove(USER), /*             */ 'yes   yes   yes   yes   no    no'],
    ['remove the owner', remove(OWNER), /*         */ 'no    no    no    no    no    no'],
    ['raise a manager to co-owner', to(MANAGER2, 'co-owner'), 'yes   no    no    no    no    no'],
    ['demote another co-owner', to(CO2, 'manager'), 'yes   no    no    no    no    no'],
    ['demote another manager', to(MANAGER2, 'user'), 'yes   yes   no    no    no    no'],
    ['raise a user to manager', to(USER, 'manager'), 'yes   yes   no    no    no    no'],
    ['change the owner', to(OWNER, 'user'), /*     */ 'no    no    no    no    no    no'],
  ];
  for (const [what, change, row] of table)
    for (const [i, wanted] of row.split(/ +/).entries())
      t.equal(attempt(actors[i] as string, change), wanted === 'yes' ? 'done' : 'forbidden', `${what} by ${i}`);
});

t.test('C9 nobody gives a right that they lack, nor touches somebody who has one that they lack', async (t) => {
  const give = (rights: Right[]): Change => ({ kind: 'add', ed25519: NEW_KEY, name: 'new', role: 'user', rights });
  t.equal(attempt(CHIEF, give(['files'])), 'done');
  t.equal(attempt(CHIEF, give(['files', 'drives'])), 'forbidden');
  t.equal(attempt(MANAGER, give([...RIGHTS])), 'done');
  t.equal(attempt(CHIEF, { kind: 'change', person: USER, profile: 'spare' }), 'forbidden');
  t.equal(attempt(CHIEF, { kind: 'set-profile', name: 'students', rights: ['files', 'drives'] }), 'forbidden');
  t.equal(attempt(CHIEF, { kind: 'set-profile', name: 'students', rights: [] }), 'done');
  t.equal(attempt(CHIEF, { kind: 'set-profile', name: 'spare', rights: [] }), 'forbidden', 'nor takes one away');
  t.equal(attempt(CHIEF, { kind: 'remove-profile', name: 'spare' }), 'forbidden');
  const richer = decideChange(OWNER, start(), { kind: 'change', person: USER, rights: ['drives'] }, 1);
  t.equal(attempt(CHIEF, { kind: 'remove', person: USER }, richer), 'forbidden');
  t.equal(attempt(CHIEF, { kind: 'change', person: USER, rights: [] }, richer), 'forbidden');
});

t.test('C3 nobody raises themselves; everybody but the owner may go', async (t) => {
  const self = (person: string, wanted: object): string => attempt(person, { kind: 'change', person, ...wanted });
  t.equal(self(CO, { role: 'manager' }), 'done');
  t.equal(self(MANAGER, { role: 'co-owner' }), 'forbidden');
  t.equal(self(MANAGER, { role: 'user', rights: [...RIGHTS] }), 'done');
  t.equal(self(CHIEF, { rights: ['users', 'files', 'drives'] }), 'forbidden');
  t.equal(self(CHIEF, { rights: ['files'] }), 'done');
  t.equal(self(USER, { rights: [] }), 'forbidden', 'without the right users');
  for (const who of [CO, MANAGER, CHIEF, USER]) t.equal(attempt(who, { kind: 'leave' }), 'done');
  t.equal(attempt(OWNER, { kind: 'leave' }), 'forbidden');
  t.equal(attempt(NEW, { kind: 'leave' }), 'forbidden', 'a stranger');
});

t.test('what is odd is refused in plain words; the same once more changes nothing', async (t) => {
  const add = { kind: 'add', ed25519: NEW_KEY, name: 'new', role: 'user', rights: ['files'] } as const;
  const added = decideChange(OWNER, start(), { ...add, rights: ['files'] }, 5);
  t.match(added, { version: 8, people: { 6: { name: 'new', fingerprint: NEW, addedBy: OWNER, addedAt: 5 } } });
  t.equal(attempt(OWNER, { ...add, rights: ['files'] }, added), 'unchanged');
  t.equal(attempt(CHIEF, { ...add, rights: ['files'] }, added), 'unchanged');
  t.equal(attempt(OWNER, { ...add, rights: [] }, added), 'already-exists');
  t.equal(attempt(OWNER, { ...add, name: 'co', rights: [] }), 'already-exists', 'a name in use');
  t.equal(attempt(OWNER, { kind: 'add', ed25519: keys[0] as never, name: 'me', role: 'user' }), 'already-exists');
  t.equal(attempt(OWNER, { kind: 'add', ed25519: NEW_KEY, name: 'new', role: 'manager', rights: [] }), 'bad-request');
  t.equal(attempt(OWNER, { kind: 'change', person: USER, profile: 'spare', rights: [] }), 'bad-request');
  t.equal(attempt(OWNER, { kind: 'change', person: MANAGER, profile: 'spare' }), 'bad-request');
  t.equal(attempt(OWNER, { kind: 'change', person: USER, profile: 'none' }), 'not-found');
  t.equal(attempt(OWNER, { kind: 'change', person: USER, role: 'user' }), 'unchanged', 'keeps the profile');
  t.equal(attempt(OWNER, { kind: 'remove', person: NEW }), 'not-found');
  t.equal(attempt(OWNER, { kind: 'set-profile', name: 'spare', rights: ['drives.full'] }), 'unchanged');
  t.throws(() => decideChange(OWNER, start(), { kind: 'remove-profile', name: 'students' }, 1), {
    code: 'wrong-state',
    message: /in use: user has it/,
  });
  t.equal(attempt(OWNER, { kind: 'remove-profile', name: 'spare' }), 'done');
  const demoted = decideChange(OWNER, start(), { kind: 'change', person: MANAGER, role: 'user' }, 1);
  t.equal(memberOf(demoted, MANAGER)?.rights.size, 0);
  t.same(
    whoLost(start(), demoted).map(({ name }) => name),
    ['manager'],
  );
});

t.test('the number of people and profiles is bounded', async (t) => {
  let state = nobody(OWNER);
  for (let i = 0; i < MAX_PEOPLE; i++) {
    const ed25519 = ed25519PublicKey(new Uint8Array(randomBytes(32)));
    state = decideChange(OWNER, state, { kind: 'add', ed25519, name: `p${i}`, role: 'user' }, 1);
  }
  t.equal(attempt(OWNER, { kind: 'add', ed25519: NEW_KEY, name: 'new', role: 'user' }, state), 'limit');
  for (let i = 0; i < 100; i++)
    state = decideChange(OWNER, state, { kind: 'set-profile', name: `f${i}`, rights: [] }, 1);
  t.equal(attempt(OWNER, { kind: 'set-profile', name: 'more', rights: [] }, state), 'limit');
});

// ---- whatever is done, in whatever order

const anyRights = fc.subarray([...RIGHTS]);
const anyName = fc.constantFrom('students', 'spare', 'blue');
const anyPrint = fc.constantFrom(...prints);
const anyRole = fc.constantFrom<GivenRole>('co-owner', 'manager', 'user');
const anyWanted = fc.oneof(
  fc.record({ role: fc.option(anyRole, { nil: undefined }) }),
  fc.record({ role: fc.option(fc.constant('user' as const), { nil: undefined }), rights: anyRights }),
  fc.record({ role: fc.constant('user' as const), profile: anyName }),
);
const anyChange: fc.Arbitrary<Change> = fc.oneof(
  fc
    .tuple(fc.nat(7), anyWanted)
    .map(([i, wanted]): Change => ({ kind: 'add', ed25519: keys[i] as never, name: `p${i}`, ...wanted })),
  fc
    .record({ kind: fc.constant('change' as const), person: anyPrint, wanted: anyWanted })
    .map(({ wanted, ...change }): Change => ({ ...change, ...wanted })),
  fc.record({ kind: fc.constant('remove' as const), person: anyPrint }),
  fc.constant<Change>({ kind: 'leave' }),
  fc.record({ kind: fc.constant('set-profile' as const), name: anyName, rights: anyRights }),
  fc.record({ kind: fc.constant('remove-profile' as const), name: anyName }),
);
const RANK = { user: 0, manager: 1, 'co-owner': 2, owner: 3 };

t.test('C3 C9 no sequence of changes gives a right that its giver lacked, or touches the owner', async (t) => {
  let done = 0;
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.array(fc.tuple(anyPrint, anyChange), { minLength: 5, maxLength: 40 }),
      (empty, steps) => {
        let state = empty ? nobody(OWNER) : start();
        for (const [actor, change] of steps) {
          const before = state;
          try {
            state = decideChange(actor, before, change, 1);
          } catch {
            continue;
          }
          if (state === before) continue;
          done++;
          check(before, state, actor);
        }
      },
    ),
    { numRuns: 1500 },
  );
  t.ok(done > 1500, `${done} changes were carried out`);
});

function check(before: PeopleState, after: PeopleState, actor: string): void {
  const assert = (holds: boolean, what: string) => {
    if (!holds) throw new Error(what);
  };
  const giver = memberOf(before, actor);
  assert(giver !== undefined, 'a stranger changed something');
  if (giver === undefined) return;
  assert(after.version === before.version + 1, 'the version grows by one');
  assert(storedPeopleSchema.safeParse(toStored(after)).success, 'what comes of it can be stored');
  assert(memberOf(after, OWNER)?.rights.size === RIGHTS.length, 'the owner has all rights');
  assert(!after.people.some(({ fingerprint: who }) => who === OWNER), 'the owner is not in the list');
  for (const who of prints) {
    const was = memberOf(before, who);
    const is = memberOf(after, who);
    const gained = [...(is?.rights ?? [])].filter((right) => was?.rights.has(right) !== true);
    assert(holdsAll(giver.rights, gained), `${gained} was given by someone who lacked it`);
    assert(who !== actor || gained.length === 0, 'somebody raised themselves');
    const [rankWas, rankIs] = [was, is].map((member) => (member === undefined ? -1 : RANK[member.role]));
    const touched =
      JSON.stringify([was?.role, [...(was?.rights ?? [])]]) !== JSON.stringify([is?.role, [...(is?.rights ?? [])]]);
    if (!touched || who === actor) {
      assert(Number(rankIs) <= Number(rankWas), 'somebody raised their own role');
      continue;
    }
    const top = Math.max(Number(rankWas), Number(rankIs));
    assert(
      RANK[giver.role] > top || (RANK[giver.role] === 0 && top <= 0),
      'somebody of the same or a higher role was touched',
    );
    assert(was === undefined || holdsAll(giver.rights, was.rights), 'somebody with more rights was touched');
  }
}
