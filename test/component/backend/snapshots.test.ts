/** H8: snapshots as the backend knows them; H3: drives in a folder that several hosts share. */
import t from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import { toBase64 } from '../../../shared/names.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import type { Job } from '../../../shared/rest-api/jobs.ts';
import { agentScene } from './drive-scene.ts';
import { type Person, until } from './fixture.ts';

const key = (fill: number): Uint8Array => new Uint8Array(64).fill(fill);
const empty = { params: {}, body: {} };
const create = (who: Person, driveId: string) =>
  who.client.call(routes.snapshotCreate, { params: { driveId }, body: {} });
const list = async (who: Person) => (await who.client.call(routes.snapshotList, empty)).snapshots;
const restore = (who: Person, snapshotId: string, name: string) =>
  who.client.call(routes.snapshotRestore, { params: { snapshotId }, body: { name } });
const remove = (who: Person, snapshotId: string) =>
  who.client.call(routes.snapshotDelete, { params: { snapshotId }, body: { confirm: snapshotId } });
const get = (who: Person, driveId: string) => who.client.call(routes.driveGet, { params: { driveId }, body: {} });
const erase = (who: Person, driveId: string) =>
  who.client.call(routes.driveDelete, { params: { driveId }, body: { confirm: driveId } });
const putKey = (who: Person, driveId: string, fill: number) =>
  who.client.call(routes.drivePutKey, { params: { driveId }, body: { wrappedKey: toBase64(key(fill)) } });
const change = async (who: Person, driveId: string, fill: number) => {
  const wrappedKey = toBase64(key(fill));
  const keys = [{ userId: who.userId, wrappedKey }];
  await who.client.call(routes.driveKeyStage, { params: { driveId }, body: { keys } });
  await who.client.call(routes.driveKeyCommit, { params: { driveId }, body: { wrappedKey } });
};
const ended = async (who: Person, job: Job): Promise<Job> => {
  let now = job;
  while (now.state === 'running')
    now = await who.client.call(routes.jobWait, { params: { jobId: now.jobId, version: now.version }, body: {} });
  return now;
};

t.test('H8: taken, listed, verified, restored and deleted, also when the drive is gone', async (t) => {
  const { alice, agent, driveId } = await agentScene(t);
  await putKey(alice, driveId, 1);
  const job = await create(alice, driveId);
  t.match(await ended(alice, job), { state: 'done', kind: 'snapshot-create', result: { driveId, kind: 'full' } });
  const snapshotId = job.target;
  t.match(await list(alice), [{ snapshotId, driveId, driveName: 'data', target: 'pool' }]);
  await change(alice, driveId, 2);
  await erase(alice, driveId);
  t.match(await list(alice), [{ snapshotId, driveName: 'data' }]);
  const verify = await alice.client.call(routes.snapshotVerify, { params: { snapshotId }, body: {} });
  t.match(await ended(alice, verify), { state: 'done', result: { ok: true } });

  const back = await restore(alice, snapshotId, 'back');
  t.match(back.drive, { name: 'back', state: 'creating', wrappedKey: undefined });
  t.match(await ended(alice, back.job), { state: 'done', target: back.drive.driveId });
  const made = await get(alice, back.drive.driveId);
  t.match(made, { state: 'made', restored: { driveId, wrappedKeys: [key(1)] } }, 'the key that the drive had then');
  await t.rejects(create(alice, made.driveId), { code: 'wrong-state', message: /its key is not stored/ });
  await putKey(alice, made.driveId, 3);
  t.match(await ended(alice, await create(alice, made.driveId)), { state: 'done' });

  const confirm = alice.client.call(routes.snapshotDelete, {
    params: { snapshotId },
    body: { confirm: 'snap-0000000000000000' },
  });
  await t.rejects(confirm, { code: 'bad-request' });
  agent.failNext.set('snapshot.delete', new VmcError('wrong-state', 'Another one builds on it.'));
  await t.rejects(remove(alice, snapshotId), { code: 'wrong-state', message: /builds/ });
  agent.snapshots.delete(snapshotId); // by the host's own CLI
  await remove(alice, snapshotId);
  t.equal((await list(alice)).length, 1);
  t.match(await get(alice, made.driveId), { restored: { wrappedKeys: [key(1)] } }, 'that stays with the drive');
});

t.test('a key that changes while a snapshot is taken: both envelopes stay with it', async (t) => {
  const { alice, agent, driveId } = await agentScene(t);
  await putKey(alice, driveId, 1);
  const gate = Promise.withResolvers<void>();
  agent.workNext.set('snapshot.create', gate.promise);
  const job = await create(alice, driveId);
  await until(() => !agent.workNext.has('snapshot.create'));
  await change(alice, driveId, 2);
  await change(alice, driveId, 3);
  gate.resolve();
  await ended(alice, job);
  await change(alice, driveId, 4);
  const { drive } = await restore(alice, job.target, 'back');
  const fills = drive.restored?.wrappedKeys.map((it) => it[0]).sort();
  t.strictSame(fills, [1, 2, 3]);
});

t.test('a snapshot that fails or is cancelled is not there; if its end is not known the host is asked', async (t) => {
  const { fixture, admin, alice, agent, hostId, driveId, count } = await agentScene(t);
  agent.failNext.set('snapshot.create', new VmcError('no-space', 'The pool is full.'));
  t.match(await ended(alice, await create(alice, driveId)), { state: 'failed', error: { code: 'no-space' } });
  agent.workNext.set('snapshot.create', new Promise(() => {}));
  const cancelled = await create(alice, driveId);
  await until(() => !agent.workNext.has('snapshot.create'));
  await alice.client.call(routes.jobCancel, { params: { jobId: cancelled.jobId }, body: {} });
  t.match(await ended(alice, cancelled), { state: 'cancelled' });
  t.strictSame(await list(alice), []);

  agent.cutNext.add('snapshot.create');
  const cut = await ended(alice, await create(alice, driveId));
  t.match(cut, { state: 'failed', error: { code: 'outcome-unknown' } });
  t.strictSame(await list(alice), [], 'not yet');
  await fixture.linkAgent(admin, agent, hostId);
  await until(async () => (await list(alice)).length === 1);

  agent.cutNext.add('snapshot.create');
  const lost = await ended(alice, await create(alice, driveId));
  agent.snapshots.delete(lost.target); // it took it away when the link was cut, or is about to
  fixture.skewMs = 601_000;
  await fixture.linkAgent(await fixture.signedIn(admin), agent, hostId);
  await until(() => count('snapshots') === 1);
  t.equal((await list(alice)).length, 1, 'the one that is there stays');
});

t.test('H8: what a server that is gone keeps from ending is forgotten, by the owner of the drive alone', async (t) => {
  const { fixture, admin, alice, agent, driveId } = await agentScene(t);
  const bob = await fixture.invited(admin, 'bob');
  const forget = (who: Person, confirm = driveId) =>
    who.client.call(routes.snapshotForget, { params: { driveId }, body: { confirm } });
  const cut = await create(alice, driveId);
  await ended(alice, cut);
  const kept = await create(alice, driveId);
  await ended(alice, kept);
  agent.unfinished = [
    { snapshotId: cut.target, doing: 'deleting', remains: ['backup:/x/y.qcow2'] },
    { snapshotId: kept.target, doing: 'making', remains: [] },
  ];
  for (const who of [bob, admin]) await t.rejects(forget(who), { code: 'not-found' });
  await t.rejects(forget(alice, 'drv0000000000000000'), { code: 'bad-request' });
  const held = Promise.withResolvers<void>();
  agent.holdNext.set('snapshot.create', held.promise);
  const making = await create(alice, driveId);
  await t.rejects(forget(alice), { code: 'busy' });
  await t.rejects(
    forget(bob),
    { code: 'not-found' },
    'a stranger is not told that somebody works on it, nor waits there',
  );
  held.resolve();
  await ended(alice, making);
  await remove(alice, making.target);
  t.notOk(agent.calls.includes('snapshot.forget'));
  t.match(await forget(alice), { forgotten: [{ snapshotId: cut.target, remains: ['backup:/x/y.qcow2'] }, {}] });
  t.match(await list(alice), [{ snapshotId: kept.target }], 'what was made is there');
  await erase(alice, driveId);
  agent.unfinished = [{ snapshotId: kept.target, doing: 'deleting', remains: [] }];
  await forget(alice);
  t.strictSame(await list(alice), [], 'also when the drive is gone');
  await t.rejects(forget(alice), { code: 'not-found' });
});

t.test('a restore that fails leaves no drive', async (t) => {
  const { alice, agent, driveId } = await agentScene(t);
  const job = await create(alice, driveId);
  await ended(alice, job);
  await t.rejects(restore(alice, job.target, 'data'), { code: 'already-exists' });
  agent.failNext.set('snapshot.restore', new VmcError('bad-data', 'The hash does not fit.'));
  const { drive, job: restoring } = await restore(alice, job.target, 'back');
  t.match(await ended(alice, restoring), { state: 'failed', error: { code: 'bad-data' } });
  await t.rejects(get(alice, drive.driveId), { code: 'not-found' });
});

t.test('H3: hosts that share a folder of drives: attached on either, to write on one only', async (t) => {
  const { fixture, admin, alice, agent, vmId, driveId } = await agentScene(t);
  const other = await fixture.host(admin, 'second');
  const far = await alice.client.call(routes.vmCreate, {
    params: {},
    body: { name: 'far', image: 'debian-12', hostId: other.hostId },
  });
  const attach = (vmId: string, readOnly = false) =>
    alice.client.call(routes.driveAttach, { params: { driveId }, body: { vmId, readOnly } });
  const detach = () => alice.client.call(routes.driveDetach, { params: { driveId }, body: {} });
  await t.rejects(attach(far.vmId), { code: 'wrong-state', hint: /--host/ });
  agent.poolId = 'one-folder';
  await agent.report();
  other.agent.poolId = 'another-folder';
  await other.agent.report();
  await t.rejects(attach(far.vmId), { code: 'wrong-state' });
  const shareFolder = async (poolId: string | undefined) => {
    other.agent.poolId = poolId;
    await other.agent.report();
    await until(async () => {
      const { hosts } = await admin.client.call(routes.hostList, empty);
      return hosts.find((it) => it.hostId === other.hostId)?.report?.utilisation.pools[0]?.id === poolId;
    });
  };
  await shareFolder('one-folder');
  await attach(far.vmId);
  const told = other.agent.asked.findLast((it) => it.method === 'drive.attach')?.params;
  t.match(told, { driveId, format: 'qcow2', sizeBytes: 2 ** 30 }, 'what the file is, is said and not guessed');
  await t.rejects(attach(vmId), { code: 'busy' });
  await t.rejects(alice.client.call(routes.driveResize, { params: { driveId }, body: { sizeBytes: 2 ** 31 } }), {
    code: 'wrong-state',
    message: /another host/,
  });
  await t.rejects(create(alice, driveId), { code: 'wrong-state' });

  other.agent.vm(far.vmId).attached.length = 0; // detached there by hand
  await other.agent.report();
  await until(async () => (await get(alice, driveId)).attachedTo === undefined);
  other.agent.vm(far.vmId).attached.push({ driveId, readOnly: false }); // nobody asked for that
  await other.agent.report();
  await shareFolder(undefined);
  t.equal((await get(alice, driveId)).attachedTo, undefined, 'a host does not block the drive of another');
  await attach(vmId);
  t.notMatch(agent.asked.findLast((it) => it.method === 'drive.attach')?.params, { format: 'qcow2' });
  await detach();
  await shareFolder('one-folder');
  other.agent.vm(far.vmId).attached.length = 0;
  const race = await Promise.allSettled([attach(vmId), attach(far.vmId), attach(vmId), attach(far.vmId)]);
  t.equal(race.filter((it) => it.status === 'fulfilled').length, 1);
});

t.test('a key that is stored while a snapshot is taken stays with it', async (t) => {
  const { alice, agent, driveId } = await agentScene(t);
  const gate = Promise.withResolvers<void>();
  agent.workNext.set('snapshot.create', gate.promise);
  const job = await create(alice, driveId);
  await until(() => !agent.workNext.has('snapshot.create'));
  await putKey(alice, driveId, 1);
  gate.resolve();
  await ended(alice, job);
  await erase(alice, driveId);
  const { drive } = await restore(alice, job.target, 'back');
  t.strictSame(
    drive.restored?.wrappedKeys.map((it) => it[0]),
    [1],
  );
});

t.test('H3: a drive whose host has not said how it is goes to no other host', async (t) => {
  const { fixture, admin, alice, agent, hostId, driveId } = await agentScene(t);
  const other = await fixture.host(admin, 'second');
  for (const it of [agent, other.agent]) {
    it.poolId = 'one-folder';
    await it.report();
  }
  const far = await alice.client.call(routes.vmCreate, {
    params: {},
    body: { name: 'far', image: 'debian-12', hostId: other.hostId },
  });
  const attach = () =>
    alice.client.call(routes.driveAttach, { params: { driveId }, body: { vmId: far.vmId, readOnly: false } });
  agent.cutNext.add('drive.convert');
  const body = { format: 'raw' as const };
  const job = await alice.client.call(routes.driveConvert, { params: { driveId }, body });
  t.match(await ended(alice, job), { error: { code: 'outcome-unknown' } });
  await t.rejects(attach(), { code: 'unreachable' });
  t.notOk(other.agent.calls.includes('drive.attach'));
  await fixture.linkAgent(admin, agent, hostId);
  await attach();
  t.match(other.agent.asked.findLast((it) => it.method === 'drive.attach')?.params, { format: 'raw' });
  await alice.client.call(routes.driveDetach, { params: { driveId }, body: {} });
  agent.cutNext.add('drive.delete');
  await t.rejects(erase(alice, driveId), { code: 'channel-closed' });
  await t.rejects(attach(), { code: 'unreachable' }, 'it may be going');
  await fixture.linkAgent(admin, agent, hostId);
  await t.rejects(attach(), { code: 'not-found' });
  await erase(alice, driveId);
  t.equal(other.agent.calls.filter((it) => it === 'drive.attach').length, 1);
});
