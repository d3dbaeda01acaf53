/** C3, C9: each method with each role and each single right, through the real people and the real dispatcher. */
import t from 'tap';
import { defineMethod } from '../../../shared/api/define.ts';
import { controlMethods } from '../../../shared/api/index.ts';
import { RIGHTS, type Right } from '../../../shared/api/rights.ts';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import { type HandleContext, newRequestId } from '../../../shared/rpc/peer.ts';
import type { LogReader } from '../../../vmc/audit/read-page.ts';
import { makeDispatch } from '../../../vmc/dispatch.ts';
import type { Drives } from '../../../vmc/drives/drives.ts';
import type { Media } from '../../../vmc/media/media.ts';
import { People } from '../../../vmc/people/people.ts';
import { RequestMemory } from '../../../vmc/requests/request-memory.ts';
import type { Tunnel } from '../../../vmc/tunnel/tunnel.ts';

/** Written by hand, so that a right that changes by accident shows. */
const NEEDED: Record<string, Right | 'member'> = {
  'system.info': 'member',
  'system.ping': 'member',
  'drive.list': 'drives',
  'drive.format': 'drives.full',
  'drive.open': 'drives',
  'drive.close': 'drives',
  'drive.trim': 'drives',
  'drive.grow': 'drives.full',
  'drive.settings': 'drives',
  'drive.freeze': 'drives',
  'drive.thaw': 'drives',
  'drive.waitGone': 'drives',
  'iso.list': 'drives',
  'iso.mount': 'drives',
  'iso.unmount': 'drives',
  'nfs.list': 'drives',
  'nfs.mount': 'drives',
  'nfs.unmount': 'drives',
  'tunnel.open': 'member',
  'tunnel.close': 'member',
  'tunnel.list': 'member',
  'drive.keyList': 'drives',
  'drive.keyCheck': 'drives',
  'drive.keyAdd': 'drives.full',
  'drive.keyRemove': 'drives.full',
  'drive.reencrypt': 'drives.full',
  'drive.headerRead': 'drives.full',
  'drive.headerStage': 'drives.full',
  'drive.headerRestore': 'drives.full',
  'people.me': 'member',
  'people.list': 'users',
  'people.add': 'users',
  'people.change': 'users',
  'people.remove': 'users',
  'people.leave': 'member',
  'people.reset': 'users',
  'profile.list': 'users',
  'profile.set': 'users',
  'profile.remove': 'users',
  'audit.head': 'audit',
  'audit.read': 'audit',
};

const VM_ID = 'vm-0123456789ab';
const vm = generateIdentity();
const owner = generateIdentity();
const OWNER = fingerprint(owner.public.ed25519);

t.test(
  'the table above is the whole interface; every method says its right and whether it changes something',
  async (t) => {
    t.same(Object.fromEntries(Object.values(controlMethods).map(({ name, right }) => [name, right])), NEEDED);
    for (const method of Object.values(controlMethods)) {
      t.type(method.changes, 'boolean', method.name);
      t.type(method.progress, 'boolean', method.name);
      t.throws(() => method.params.parse({ unheard: 1 }), method.name);
    }
    const { right: _, ...nameless } = controlMethods.systemPing;
    // @ts-expect-error a method that names no right does not compile
    t.notOk(defineMethod(nameless).right);
  },
);

t.test('C3 C9 every method, by every role, by every single right, and by a stranger', async (t) => {
  const refusals: { what: string; result: string }[] = [];
  const audit = {
    record: async () => {},
    refuse: async (event: never) => void refusals.push(event),
    around: () => Promise.reject(new Error('nothing gets as far as that')),
  };
  const people = await People.open({
    ...{ stateDir: t.testdir(), identity: vm, vmId: VM_ID, owner: owner.public.ed25519, clock: () => 1, audit },
    onProblem: (problem) => t.fail(problem),
  });
  const requests = new RequestMemory();
  const dispatch = makeDispatch({
    ...{
      audit,
      auditLog: {} as LogReader,
      people,
      requests,
      vmId: VM_ID,
      tunnel: {} as Tunnel,
      drives: async () => ({}) as Drives,
      media: async () => ({}) as Media,
    },
    info: () => t.fail('nothing gets as far as that') as never,
  });
  const signal = new AbortController().signal;
  const context: HandleContext = { progress: () => {}, signal, requestId: newRequestId(), after: 0 };
  const callers: [string, Identity, ReadonlySet<Right> | undefined][] = [
    ['the owner', owner, new Set(RIGHTS)],
    ['a stranger', generateIdentity(), undefined],
  ];
  const join = async (name: string, wanted: object, rights: Iterable<Right>) => {
    const who = generateIdentity();
    await people.change(OWNER, { kind: 'add', ed25519: who.public.ed25519, name, ...wanted } as never);
    callers.push([name, who, new Set(rights)]);
  };
  await join('co', { role: 'co-owner' }, RIGHTS);
  await join('manager', { role: 'manager' }, RIGHTS);
  await join('plain', { role: 'user' }, []);
  for (const [i, right] of RIGHTS.entries()) await join(`only-${i}`, { role: 'user', rights: [right] }, [right]);
  await people.change(OWNER, { kind: 'set-profile', name: 'students', rights: ['files', 'drives'] });
  await join('student', { role: 'user', profile: 'students' }, ['files', 'drives']);

  let asked = 0;
  for (const [who, { public: key }, rights] of callers) {
    const caller = {
      fingerprint: fingerprint(key.ed25519),
      rights: () => people.rightsOf(key.ed25519),
      mayRecord: () => true,
    };
    for (const [name, needed] of Object.entries(NEEDED)) {
      asked++;
      refusals.length = 0;
      const allowed = rights !== undefined && (needed === 'member' || rights.has(needed));
      // No method takes this parameter: whoever may call it is told so, and nobody else.
      const code = await dispatch(caller)(name, { unheard: 1 }, context).then(
        () => 'ran',
        (error: { code: string }) => error.code,
      );
      t.equal(code, allowed ? 'bad-request' : 'forbidden', `${name} by ${who}`);
      t.same(refusals, allowed ? [] : [{ who: caller.fingerprint, what: name, result: 'forbidden' }]);
    }
  }
  t.equal(asked, Object.keys(NEEDED).length * (RIGHTS.length + 6));
});
