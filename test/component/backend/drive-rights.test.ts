/** Who may do what with a drive (H3): every route of drives and snapshots, for everybody there can be. */
import t from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import { toBase64 } from '../../../shared/names.ts';
import { driveCareRoutes } from '../../../shared/rest-api/drive-care.ts';
import { drivePeopleRoutes } from '../../../shared/rest-api/drive-people.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { machineRoutes } from '../../../shared/rest-api/machines.ts';
import { agentScene } from './drive-scene.ts';
import type { Person } from './fixture.ts';

const ROLES = ['owner', 'rw', 'ro', 'stranger', 'admin'] as const;
type Role = (typeof ROLES)[number];
const wrapped = (fill: number) => toBase64(new Uint8Array(64).fill(fill));

const SHARED = 'ok ok ok not-found not-found';
const WRITERS = 'ok ok forbidden not-found not-found';
const OWNER = 'ok forbidden forbidden not-found not-found';
const OWN_SNAPSHOT = 'ok not-found not-found not-found not-found';

interface Case {
  route: string;
  expected: string;
  /** As the owner, so that nothing else stands against it. */
  prepare?: () => Promise<unknown>;
  attempt: (who: Person) => Promise<unknown>;
  /** As the owner. */
  undo?: () => Promise<unknown>;
}

t.test('H3 who may do what with a drive, at every route', async (t) => {
  const { fixture, admin, alice, agent, vmId, driveId } = await agentScene(t);
  const people: Record<Role, Person> = {
    owner: alice,
    rw: await fixture.invited(admin, 'rita'),
    ro: await fixture.invited(admin, 'rob'),
    stranger: await fixture.invited(admin, 'sam'),
    admin,
  };
  const guest = await fixture.invited(admin, 'guest');
  for (const who of ['rw', 'ro', 'stranger', 'admin'] as const) {
    const params = { vmId, userId: people[who].userId };
    await alice.client.call(routes.vmPersonPut, { params, body: {} });
  }
  const byDrive = { params: { driveId } };
  await alice.client.call(routes.drivePutKey, { ...byDrive, body: { wrappedKey: wrapped(1) } });
  const share = (by: Person, to: Person, access: 'ro' | 'rw') =>
    by.client.call(routes.driveShare, {
      params: { driveId, userId: to.userId },
      body: { access, wrappedKey: wrapped(2) },
    });
  const unshare = (by: Person, from: Person) =>
    by.client.call(routes.driveUnshare, { params: { driveId, userId: from.userId }, body: {} });
  await share(alice, people.rw, 'rw');
  await share(alice, people.ro, 'ro');

  const attach = (who: Person, readOnly: boolean) =>
    who.client.call(routes.driveAttach, { ...byDrive, body: { vmId, readOnly } });
  const detach = (who: Person) => who.client.call(routes.driveDetach, { ...byDrive, body: {} });
  const idle = async () => {
    for (;;) {
      const { jobs } = await alice.client.call(routes.jobList, { params: {}, body: {} });
      const running = jobs.find((it) => it.state === 'running');
      if (running === undefined) return;
      await alice.client.call(routes.jobWait, {
        params: { jobId: running.jobId, version: running.version },
        body: {},
      });
    }
  };
  const nextKeys = () => {
    const body = { keys: [alice, people.rw, people.ro].map(({ userId }) => ({ userId, wrappedKey: wrapped(3) })) };
    return { ...byDrive, body };
  };
  const own = { ...byDrive, body: { wrappedKey: wrapped(3) } };
  const stage = () => alice.client.call(routes.driveKeyStage, nextKeys());
  const forget = () => alice.client.call(routes.driveKeyForget, own);
  await alice.client.call(routes.snapshotCreate, { ...byDrive, body: {} });
  await idle();
  const { snapshots } = await alice.client.call(routes.snapshotList, { params: {}, body: {} });
  const snapshotId = snapshots[0]?.snapshotId ?? '';
  const bySnapshot = { params: { snapshotId } };

  const cases: Case[] = [
    { route: 'driveGet', expected: SHARED, attempt: (it) => it.client.call(routes.driveGet, { ...byDrive, body: {} }) },
    {
      route: 'driveList',
      expected: SHARED,
      attempt: async (it) => {
        const { drives } = await it.client.call(routes.driveList, { params: {}, body: {} });
        if (!drives.some((drive) => drive.driveId === driveId)) throw new VmcError('not-found', 'not in the list');
      },
    },
    {
      route: 'driveUsage',
      expected: SHARED,
      attempt: (it) => it.client.call(routes.driveUsage, { ...byDrive, body: {} }),
    },
    { route: 'driveAttach', expected: WRITERS, attempt: (it) => attach(it, false), undo: () => detach(alice) },
    { route: 'driveAttach', expected: SHARED, attempt: (it) => attach(it, true), undo: () => detach(alice) },
    {
      route: 'driveDetach',
      expected: WRITERS,
      prepare: () => attach(alice, false),
      attempt: detach,
      undo: () => detach(alice),
    },
    {
      route: 'driveDetach',
      expected: SHARED,
      prepare: () => attach(alice, true),
      attempt: detach,
      undo: () => detach(alice),
    },
    {
      route: 'drivePutKey',
      expected: OWNER,
      attempt: (it) => it.client.call(routes.drivePutKey, { ...byDrive, body: { wrappedKey: wrapped(1) } }),
    },
    {
      route: 'driveResize',
      expected: OWNER,
      attempt: (it) => it.client.call(routes.driveResize, { ...byDrive, body: { sizeBytes: 2 ** 31 } }),
    },
    {
      route: 'driveCheck',
      expected: OWNER,
      attempt: (it) => it.client.call(routes.driveCheck, { ...byDrive, body: {} }),
      undo: idle,
    },
    {
      route: 'driveConvert',
      expected: OWNER,
      attempt: (it) => it.client.call(routes.driveConvert, { ...byDrive, body: { format: 'raw' } }),
      undo: idle,
    },
    {
      route: 'snapshotCreate',
      expected: OWNER,
      attempt: (it) => it.client.call(routes.snapshotCreate, { ...byDrive, body: {} }),
      undo: idle,
    },
    {
      route: 'snapshotList',
      expected: OWN_SNAPSHOT,
      attempt: async (it) => {
        const { snapshots } = await it.client.call(routes.snapshotList, { params: {}, body: {} });
        if (snapshots.length === 0) throw new VmcError('not-found', 'not in the list');
      },
    },
    {
      route: 'snapshotVerify',
      expected: OWN_SNAPSHOT,
      attempt: (it) => it.client.call(routes.snapshotVerify, { ...bySnapshot, body: {} }),
      undo: idle,
    },
    {
      route: 'snapshotRestore',
      expected: OWN_SNAPSHOT,
      attempt: (it) => it.client.call(routes.snapshotRestore, { ...bySnapshot, body: { name: 'again' } }),
      undo: idle,
    },
    {
      route: 'snapshotForget',
      expected: OWNER,
      attempt: (it) => it.client.call(routes.snapshotForget, { ...byDrive, body: { confirm: driveId } }),
    },
    {
      route: 'drivePeople',
      expected: OWNER,
      attempt: (it) => it.client.call(routes.drivePeople, { ...byDrive, body: {} }),
    },
    {
      route: 'driveShare',
      expected: OWNER,
      attempt: (it) => share(it, guest, 'ro'),
      undo: () => unshare(alice, guest),
    },
    {
      route: 'driveUnshare',
      expected: OWNER,
      prepare: () => share(alice, guest, 'ro'),
      attempt: (it) => unshare(it, guest),
      undo: () => unshare(alice, guest),
    },
    {
      route: 'driveKeyStage',
      expected: OWNER,
      attempt: (it) => it.client.call(routes.driveKeyStage, nextKeys()),
      undo: forget,
    },
    {
      route: 'driveKeyForget',
      expected: OWNER,
      prepare: stage,
      attempt: (it) => it.client.call(routes.driveKeyForget, own),
      undo: forget,
    },
    {
      route: 'driveHeaderPut',
      expected: OWNER,
      attempt: (it) => it.client.call(routes.driveHeaderPut, { ...byDrive, body: { sealed: wrapped(9) } }),
    },
    {
      route: 'driveHeaderGet',
      expected: OWNER,
      attempt: (it) => it.client.call(routes.driveHeaderGet, { ...byDrive, body: {} }),
    },
    {
      route: 'driveKeyCommit',
      expected: 'forbidden forbidden not-found not-found ok',
      prepare: stage,
      attempt: (it) => it.client.call(routes.driveKeyCommit, own),
    },
    {
      route: 'snapshotDelete',
      expected: 'not-found not-found not-found not-found ok',
      attempt: (it) => it.client.call(routes.snapshotDelete, { ...bySnapshot, body: { confirm: snapshotId } }),
    },
    {
      route: 'driveDelete',
      expected: 'forbidden forbidden not-found not-found ok',
      attempt: (it) => it.client.call(routes.driveDelete, { ...byDrive, body: { confirm: driveId } }),
    },
  ];
  /** What ends it for all goes last, by its owner. */
  const FINAL: readonly Role[] = ['rw', 'ro', 'stranger', 'admin', 'owner'];
  for (const { route, expected, prepare, attempt, undo } of cases) {
    const order = expected.startsWith('ok') ? ROLES : FINAL;
    const results: string[] = [];
    for (const role of order) {
      if (prepare !== undefined) await prepare();
      const result = await attempt(people[role]).then(
        () => 'ok',
        (error: unknown) => (error instanceof VmcError ? error.code : String(error)),
      );
      results.push(result);
      await undo?.().catch(() => {}); // done already
    }
    t.equal(results.join(' '), expected, `${route}: ${order.join(' ')}`);
  }
  const drives = (name: string) => name.startsWith('drive') || name.startsWith('snapshot');
  const all = Object.keys({ ...machineRoutes, ...driveCareRoutes, ...drivePeopleRoutes }).filter(drives);
  const tried = new Set(cases.map((it) => it.route));
  t.strictSame(
    all.filter((name) => !tried.has(name)),
    ['driveCreate'],
    'every route is in the table',
  );
  t.equal(agent.snapshots.has(snapshotId), false);
});
