import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { makeCode, makeId, sha256 } from '../../../backend/store/hashes.ts';
import { migrations } from '../../../backend/store/migrations.ts';
import { openStore, type Store } from '../../../backend/store/store.ts';
import { driveIdSchema, vmIdSchema } from '../../../shared/names.ts';

interface Scene {
  store: Store;
  folder: string;
  userId: string;
  hostId: string;
}

function scene(t: { testdir(content: Record<string, never>): string; teardown(work: () => void): void }): Scene {
  const folder = t.testdir({});
  const store = openStore(folder);
  t.teardown(() => store.close());
  const userId = makeId('user-', 6);
  const hostId = makeId('host-', 6);
  store.accounts.add({
    userId,
    name: 'alice',
    role: 'user',
    ed25519: new Uint8Array(32).fill(1),
    identity: '{}',
    createdAt: 1,
  });
  store.hosts.add({ hostId, name: 'h', tokenHash: sha256('t'), createdAt: 1 });
  return { store, folder, userId, hostId };
}

function addVm({ store, userId, hostId }: Scene, name: string): string {
  const vmId = makeId('vm-', 6);
  const spec = { image: 'debian-12', cores: 1, memoryMiB: 512 };
  store.vms.add({ vmId, name, ownerId: userId, hostId, ...spec, tokenHash: sha256('t'), createdAt: 1 });
  return vmId;
}

function addDrive({ store, userId, hostId }: Scene, name: string): string {
  const driveId = makeId('drv', 8);
  store.drives.add({ driveId, name, ownerId: userId, hostId, format: 'qcow2', sizeBytes: 2 ** 24, createdAt: 1 });
  return driveId;
}

t.test('ids, codes: of the agreed shape', async (t) => {
  t.ok(vmIdSchema.safeParse(makeId('vm-', 6)).success);
  t.ok(driveIdSchema.safeParse(makeId('drv', 8)).success);
  t.match(makeCode(), /^[0-9a-f]{8}(-[0-9a-f]{8}){3}$/);
});

t.test('the file is for its owner only, and a newer one is refused', async (t) => {
  const { folder } = scene(t);
  const path = join(folder, 'backend.sqlite');
  t.equal(statSync(path).mode & 0o777, 0o600);
  const other = t.testdir({});
  openStore(other).close();
  const db = new DatabaseSync(join(other, 'backend.sqlite'));
  db.exec('PRAGMA user_version = 99');
  db.close();
  t.throws(() => openStore(other), { code: 'bad-data', message: /99/ });
});

t.test('H3: reserving an attachment: read-write exclusive, read-only many', async (t) => {
  const it = scene(t);
  const { attachments, vms } = it.store;
  const [one, two, three] = [addVm(it, 'one'), addVm(it, 'two'), addVm(it, 'three')];
  const drive = addDrive(it, 'data');
  t.equal(attachments.reserve(drive, one, false), undefined);
  t.match(attachments.reserve(drive, two, false), { vmId: one, readOnly: false, phase: 'attaching' });
  t.match(attachments.reserve(drive, two, true), { vmId: one });
  attachments.remove(drive, one);
  t.equal(attachments.reserve(drive, one, true), undefined);
  t.equal(attachments.reserve(drive, two, true), undefined);
  t.match(attachments.reserve(drive, two, true), { vmId: two }, 'not twice to the same VM');
  t.ok(attachments.reserve(drive, three, false));
  attachments.confirm(drive, two, true);
  t.match(attachments.ofVm(two), [{ driveId: drive, phase: 'attached', readOnly: true }]);
  t.throws(() => it.store.drives.remove(drive), 'a drive that is attached cannot go');
  vms.remove(two);
  vms.remove(one);
  it.store.drives.remove(drive);
  t.equal(it.store.drives.get(drive), undefined);
});

t.test('keys are bound once, for VMs and hosts alike', async (t) => {
  const it = scene(t);
  const vmId = addVm(it, 'work');
  const keys = { ed25519: new Uint8Array(32), identity: '{"a":1}' };
  t.ok(it.store.vms.enrol(vmId, keys));
  t.ok(it.store.vms.enrol(vmId, keys));
  t.notOk(it.store.vms.enrol(vmId, { ...keys, identity: '{"a":2}' }));
  t.equal(it.store.vms.get(vmId)?.identity, '{"a":1}');
  t.ok(it.store.hosts.enrol(it.hostId, { ...keys, address: '10.0.0.1' }));
  t.ok(it.store.hosts.enrol(it.hostId, { ...keys, address: '10.0.0.2' }), 'the address may change');
  t.notOk(it.store.hosts.enrol(it.hostId, { ed25519: keys.ed25519, identity: '{}', address: '10.0.0.3' }));
  t.equal(it.store.hosts.get(it.hostId)?.address, '10.0.0.2');
});

t.test('names are taken once for each owner', async (t) => {
  const it = scene(t);
  addVm(it, 'work');
  t.throws(() => addVm(it, 'work'), { code: 'already-exists' });
  addDrive(it, 'work');
  t.throws(() => addDrive(it, 'work'), { code: 'already-exists' });
});

t.test('drive keys are written once', async (t) => {
  const it = scene(t);
  const driveId = addDrive(it, 'data');
  const { driveKeys } = it.store;
  t.ok(driveKeys.put(driveId, it.userId, new Uint8Array([1])));
  t.ok(driveKeys.put(driveId, it.userId, new Uint8Array([1])));
  t.notOk(driveKeys.put(driveId, it.userId, new Uint8Array([2])));
  t.strictSame(driveKeys.get(driveId, it.userId), new Uint8Array([1]));
  it.store.drives.remove(driveId);
  t.equal(driveKeys.get(driveId, it.userId), undefined, 'gone with the drive');
});

t.test('sessions: bounded for each person, ended by time, unknown to the file', async (t) => {
  const { store, userId } = scene(t);
  for (let i = 1; i <= 5; i++) store.sessions.add(`token-${i}`, userId, i * 1000);
  store.sessions.keepNewest(userId, 3);
  t.equal(store.sessions.get('token-2'), undefined);
  const session = store.sessions.get('token-3');
  t.match(session, { userId, expiresAt: 3000 });
  store.sessions.remove(session?.id ?? '');
  t.equal(store.sessions.get('token-3'), undefined);
  store.sessions.removeExpired(4000);
  t.equal(store.sessions.get('token-4'), undefined);
  t.ok(store.sessions.get('token-5'));
});

t.test('a transaction that fails leaves nothing; what was interrupted is marked', async (t) => {
  const it = scene(t);
  t.throws(() =>
    it.store.transaction(() => {
      it.store.codes.add('code', { role: 'user', madeBy: null, expiresAt: null });
      throw new Error('no');
    }),
  );
  t.notOk(it.store.codes.hasFirst());
  const vmId = addVm(it, 'work');
  const driveId = addDrive(it, 'data');
  it.store.vms.markInterrupted('stopped');
  it.store.drives.markInterrupted();
  t.match(it.store.vms.get(vmId), { phase: 'creating', problem: 'stopped' });
  t.equal(it.store.drives.get(driveId)?.phase, 'failed');
  it.store.vms.setMade(vmId);
  t.match(it.store.vms.get(vmId), { phase: 'made', problem: null });
});

t.test('the audit log is read from its end and forgets what is old', async (t) => {
  const { store } = scene(t);
  for (let at = 1; at <= 5; at++) store.audit.add({ at, actor: 'a', action: 'b', target: null, result: 'ok' });
  t.strictSame(
    store.audit.latest(2).map((it) => it.at),
    [4, 5],
  );
  t.strictSame(
    store.audit.latest(2, 4).map((it) => it.at),
    [2, 3],
  );
  store.audit.removeBefore(3);
  t.equal(store.audit.latest(100).length, 3);
});

t.test('a database of the version before sharing keeps all that it holds', async (t) => {
  const folder = t.testdir({});
  const db = new DatabaseSync(join(folder, 'backend.sqlite'));
  for (const sql of migrations.slice(0, 2)) db.exec(sql);
  db.exec(`PRAGMA user_version = 2; PRAGMA foreign_keys = ON;
    INSERT INTO accounts VALUES ('a', 'alice', 'user', x'01', '{}', 1), ('b', 'bob', 'user', x'02', '{}', 1);
    INSERT INTO hosts (hostId, name, tokenHash, createdAt) VALUES ('h', 'host', x'00', 1);
    INSERT INTO vms (vmId, name, ownerId, hostId, image, cores, memoryMiB, phase, tokenHash, createdAt)
      VALUES ('v', 'vm', 'a', 'h', 'i', 1, 1, 'made', x'00', 1);
    INSERT INTO drives VALUES ('d', 'data', 'a', 'h', 'qcow2', 16777216, 'made', 1);
    INSERT INTO drives VALUES ('e', 'else', 'b', 'h', 'raw', 16777216, 'failed', 2);
    INSERT INTO attachments VALUES ('d', 'v', 1, 'attached');
    INSERT INTO driveKeys VALUES ('d', 'a', x'0a0b'), ('e', 'b', x'0c');`);
  db.close();
  for (let opened = 0; opened < 2; opened++) {
    const store = openStore(folder);
    t.match(store.drives.get('d'), { name: 'data', ownerId: 'a', phase: 'made', createdAt: 1, unsure: 0 });
    t.match(store.drives.get('e'), { format: 'raw', phase: 'failed', unsure: 0 });
    t.match(store.attachments.ofDrive('d'), [{ vmId: 'v', readOnly: true, phase: 'attached' }]);
    t.strictSame(store.driveKeys.get('d', 'a'), new Uint8Array([10, 11]));
    t.strictSame(store.driveKeys.get('e', 'b'), new Uint8Array([12]));
    t.strictSame(store.snapshots.ownedBy('a'), []);
    store.close();
  }
});

function addPerson({ store }: Scene, name: string): string {
  const userId = makeId('user-', 6);
  const ed25519 = sha256(name);
  store.accounts.add({ userId, name, role: 'user', ed25519, identity: '{}', createdAt: 1 });
  return userId;
}

t.test('an account that is removed takes what was shared with it, and nobody else’s', async (t) => {
  const it = scene(t);
  const { store, userId } = it;
  const [bob, cay] = [addPerson(it, 'bob'), addPerson(it, 'cay')];
  const driveId = addDrive(it, 'data');
  store.driveKeys.put(driveId, userId, new Uint8Array([1]));
  for (const who of [bob, cay]) {
    store.driveShares.put({ driveId, userId: who, access: 'ro', since: 1 });
    store.driveKeys.share(driveId, who, new Uint8Array([2]));
  }
  store.driveKeys.stage(
    driveId,
    [userId, bob, cay].map((who) => ({ userId: who, wrappedKey: new Uint8Array([3]) })),
  );
  const db = new DatabaseSync(join(it.folder, 'backend.sqlite'));
  db.prepare('DELETE FROM accounts WHERE userId = ?').run(bob);
  t.throws(() => db.prepare('DELETE FROM accounts WHERE userId = ?').run(userId), 'an owner of drives stays');
  db.close();
  t.strictSame(
    store.driveShares.ofDrive(driveId).map((it) => it.userId),
    [cay],
  );
  t.equal(store.driveKeys.get(driveId, bob), undefined);
  t.equal(store.driveKeys.next(driveId).length, 2);
  store.drives.remove(driveId);
  t.strictSame(store.driveShares.ofUser(cay), [], 'a drive takes its shares');
  t.strictSame(store.driveKeys.next(driveId), []);
});

t.test('next keys replace the present ones all together, or stay beside them', async (t) => {
  const it = scene(t);
  const { store, userId } = it;
  const driveId = addDrive(it, 'data');
  const bob = addPerson(it, 'bob');
  const [first, next] = [new Uint8Array([1]), new Uint8Array([2])];
  store.driveKeys.put(driveId, userId, first);
  store.driveKeys.share(driveId, bob, first);
  const keys = [userId, bob].map((who) => ({ userId: who, wrappedKey: next }));
  t.throws(() => store.transaction(() => store.driveKeys.stage(driveId, [...keys, ...keys])));
  t.strictSame(store.driveKeys.next(driveId), [], 'half a stage is none');
  store.driveKeys.stage(driveId, keys);
  t.strictSame(store.driveKeys.get(driveId, bob), first);
  store.transaction(() => store.driveKeys.commit(driveId));
  for (const who of [userId, bob]) t.strictSame(store.driveKeys.get(driveId, who), next);
  t.equal(store.driveKeys.getNext(driveId, userId), undefined);
  store.driveKeys.stage(driveId, keys);
  store.driveKeys.forget(driveId);
  t.strictSame(store.driveKeys.next(driveId), []);
  t.strictSame(store.driveKeys.get(driveId, bob), next);
});

t.test('snapshots that were begun when the backend stopped are marked, once', async (t) => {
  const it = scene(t);
  const { snapshots } = it.store;
  const driveId = addDrive(it, 'data');
  const row = { driveId, driveName: 'data', ownerId: it.userId, hostId: it.hostId };
  snapshots.begin({ ...row, snapshotId: 'snap-1', begunAt: 5 });
  snapshots.begin({ ...row, snapshotId: 'snap-2', begunAt: 4 });
  const told = { driveId, kind: 'full', target: 'pool', sizeBytes: 1, storedBytes: 1, takenAt: 1 } as const;
  snapshots.setTold({ ...told, snapshotId: 'snap-2', sha256: 'a' });
  snapshots.markInterrupted(9);
  snapshots.markInterrupted(10);
  t.match(snapshots.openOn(it.hostId), [{ snapshotId: 'snap-1', unsureAt: 9, told: null }]);
  t.match(snapshots.ownedBy(it.userId), [{ snapshotId: 'snap-2', unsureAt: null, told: { sha256: 'a' } }]);
  t.equal(snapshots.countOf(it.userId), 2);
  it.store.drives.remove(driveId);
  t.equal(snapshots.ownedBy(it.userId).length, 1, 'they outlive the drive');
});
