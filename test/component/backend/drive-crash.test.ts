/** H9: the backend is killed while a host works for it. What it finds when it starts again is what it had written by then. */
import { cpSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { toBase64 } from '../../../shared/names.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { type AgentScene, agentScene } from './drive-scene.ts';
import { Fixture, type Person, until } from './fixture.ts';

const MiB = 2 ** 20;
const list = async (who: Person) => (await who.client.call(routes.driveList, { params: {}, body: {} })).drives;
const snapshots = async (who: Person) =>
  (await who.client.call(routes.snapshotList, { params: {}, body: {} })).snapshots;
const erase = (who: Person, driveId: string) =>
  who.client.call(routes.driveDelete, { params: { driveId }, body: { confirm: driveId } });

/** The agent has been asked, and does not go on. */
async function caught({ agent }: AgentScene, method: string, begin: () => Promise<unknown>): Promise<void> {
  agent.workNext.set(method, new Promise(() => {}));
  await begin();
  await until(() => !agent.workNext.has(method));
}

/** A backend that starts on the files as they are at this moment. */
async function killed(
  t: Parameters<typeof Fixture.start>[0],
  { fixture, admin, alice, agent, hostId }: AgentScene,
): Promise<{ alice: Person; linkAgent: () => Promise<void> }> {
  const stateDir = mkdtempSync(join(tmpdir(), 'vmc-backend-test-'));
  cpSync(fixture.stateDir, stateDir, { recursive: true });
  const after = new Fixture(stateDir);
  t.teardown(() => after.close());
  await after.startBackend();
  const again = await after.signedIn(admin);
  return { alice: await after.signedIn(alice), linkAgent: () => after.linkAgent(again, agent, hostId) };
}

t.test('a drive that was being made can only be deleted; one that was being changed is as its host says', async (t) => {
  const it = await agentScene(t);
  const { agent, driveId } = it;
  await caught(it, 'drive.create', () =>
    it.alice.client.call(routes.driveCreate, {
      params: {},
      body: { name: 'solid', sizeBytes: 64 * MiB, allocation: 'falloc' },
    }),
  );
  await caught(it, 'drive.convert', () =>
    it.alice.client.call(routes.driveConvert, { params: { driveId }, body: { format: 'raw' } }),
  );
  const { alice, linkAgent } = await killed(t, it);
  const [data, solid] = await list(alice);
  t.match(data, { name: 'data', state: 'made', format: 'qcow2' });
  t.match(solid, { name: 'solid', state: 'failed' });
  agent.drives.set(driveId, { format: 'raw', sizeBytes: 2 ** 30 }); // the answer never came, the change did
  await linkAgent();
  await until(async () => (await list(alice))[0]?.format === 'raw');
  const grow = alice.client.call(routes.driveResize, {
    params: { driveId: solid?.driveId ?? '' },
    body: { sizeBytes: 128 * MiB },
  });
  await t.rejects(grow, { code: 'wrong-state', hint: /Delete/ });
  await erase(alice, solid?.driveId ?? '');
  t.equal((await list(alice)).length, 1);
});

t.test(
  'a snapshot that was being taken is there when its host has it; a restored drive is not half there',
  async (t) => {
    const it = await agentScene(t);
    const { agent, driveId } = it;
    const key = toBase64(new Uint8Array(64).fill(1));
    await it.alice.client.call(routes.drivePutKey, { params: { driveId }, body: { wrappedKey: key } });
    const first = await it.alice.client.call(routes.snapshotCreate, { params: { driveId }, body: {} });
    await until(async () => (await snapshots(it.alice)).length === 1);
    const snapshotId = first.target;
    await caught(it, 'snapshot.restore', () =>
      it.alice.client.call(routes.snapshotRestore, { params: { snapshotId }, body: { name: 'back' } }),
    );
    await caught(it, 'snapshot.create', () =>
      it.alice.client.call(routes.snapshotCreate, { params: { driveId }, body: {} }),
    );
    const asked = agent.asked.findLast((it) => it.method === 'snapshot.create')?.params as { snapshotId: string };
    const { alice, linkAgent } = await killed(t, it);
    t.equal((await snapshots(alice)).length, 1);
    const back = (await list(alice)).find((it) => it.name === 'back');
    t.match(back, { state: 'failed' });
    const made = agent.snapshots.get(snapshotId);
    if (made === undefined) throw new Error('no snapshot');
    agent.snapshots.set(asked.snapshotId, { ...made, snapshotId: asked.snapshotId });
    await linkAgent();
    await until(async () => (await snapshots(alice)).length === 2);
    await erase(alice, back?.driveId ?? '');
    const restored = await alice.client.call(routes.snapshotRestore, {
      params: { snapshotId: asked.snapshotId },
      body: { name: 'again' },
    });
    t.equal(restored.drive.restored?.wrappedKeys.length, 1, 'with the key that was stored when it was begun');
  },
);
