/** H8, H9: an SFTP server that is gone for good is in nobody's way; and what is being verified is not deleted. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../../host-agent/config.ts';
import { makeHost } from '../../../host-agent/host.ts';
import { deleteSnapshot } from '../../../host-agent/snapshots/delete.ts';
import { verifySnapshot } from '../../../host-agent/snapshots/verify.ts';
import { Locks } from '../../../host-agent/state/locks.ts';
import { makeSnapshotBox } from './support/snapshot-box.ts';
import { makeSshd } from './support/sshd.ts';

const D = 'drv0000000000000001';
const id = (n: number) => `snap-${n.toString(16).padStart(16, '0')}`;

t.setTimeout(240_000);

t.test('H8 H9: snapshots at a server that is gone', async (t) => {
  const box = await makeSnapshotBox();
  t.teardown(() => box.remove());
  const sshd = await makeSshd(box);
  t.teardown(() => sshd.remove());
  await writeFile(box.config, (await readFile(box.config, 'utf8')) + sshd.settings);
  await sshd.start();
  await box.json(['reconcile']);
  const drive = await box.drive(D);
  await drive.io(undefined, 'write -P 17 0 1M');
  const forget = () => box.json(['snapshot', 'forget', D, '--confirm', D]);
  const notes = () => readdir(join(box.stateDir, 'snapshots-under-way')).catch(() => []);
  const atServer = async () => (await readdir(join(sshd.folder, D))).sort();
  const ids = async () => JSON.stringify(await box.json(['snapshot', 'list', D])).match(/snap-\w+(?=","driveId)/g);
  const wayOut = { code: 'unreachable', hint: new RegExp(`host-agent snapshot forget ${D} --confirm ${D}`) };
  const namesOf = (snapshotId: string) => ['.qcow2', '.qcow2.partial', '.json'].map((it) => `${snapshotId}${it}`);

  await t.test(
    'one that was cut short is in the way of the next, which says what to do; forgotten, it is not',
    async (t) => {
      const cut = await box.until('kill', 'snapshot.create:name', 'create', D, id(1), 'sftp');
      t.match(cut.stdout, 'reached');
      await sshd.stop();
      t.match(await box.refusal('snapshot', 'create', D), { ...wayOut, message: new RegExp(`${id(1)}.*not finished`) });
      t.match(await box.json(['reconcile']), [{ outcome: 'reported', hint: wayOut.hint }]);
      t.match(await box.refusal('snapshot', 'forget', D, '--confirm', 'drv0000000000000002'), { code: 'bad-request' });
      const { forgotten } = (await forget()) as { forgotten: { remains: string[] }[] };
      t.match(forgotten, [{ snapshotId: id(1), doing: 'making' }]);
      t.strictSame(
        forgotten[0]?.remains.map((it) => it.split('/').at(-1)),
        namesOf(id(1)),
        'it is said what may remain',
      );
      t.strictSame(await notes(), []);
      t.match(await box.json(['snapshot', 'create', D, '--id', id(2)]), { snapshotId: id(2) });
      t.strictSame(await box.json(['reconcile']), []);
      await sshd.start();
      t.strictSame(await atServer(), [`${id(1)}.qcow2.partial`], 'and that is what remains');
    },
  );

  await t.test(
    'deleting one there: begun, refused, forgotten; another is deleted when the server is back',
    async (t) => {
      for (const n of [3, 4]) await box.json(['snapshot', 'create', D, '--target', 'sftp', '--id', id(n)]);
      await sshd.stop();
      t.match(await box.refusal('snapshot', 'delete', id(4), '--confirm', id(4)), wayOut);
      t.match(await box.refusal('snapshot', 'verify', id(4)), { code: 'wrong-state' });
      t.match(await forget(), { forgotten: [{ snapshotId: id(4), doing: 'deleting' }] });
      t.strictSame(await ids(), [id(2), id(3)]);
      t.strictSame(await forget(), { forgotten: [] });
      t.match(await box.refusal('snapshot', 'delete', id(3), '--confirm', id(3)), wayOut);
      await sshd.start();
      t.strictSame(await forget(), { forgotten: [{ snapshotId: id(3), doing: 'deleting', remains: [] }] });
      t.strictSame(await ids(), [id(2)]);
      t.notMatch((await atServer()).join(), id(3), 'a server that can be asked is');
    },
  );

  await t.test('what is being verified is not deleted, and new ones are made meanwhile', async (t) => {
    const config = await loadConfig(box.config);
    const hurried = { ...makeHost(config), locks: new Locks(join(box.stateDir, 'locks'), 300) };
    let held = 0;
    class Watched extends Locks {
      override hold<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
        return super.hold(names, async () => {
          held++;
          await t.rejects(deleteSnapshot(hurried, id(2)), { code: 'busy' });
          t.match(await box.json(['snapshot', 'create', D, '--id', id(5)]), { snapshotId: id(5) });
          return work();
        });
      }
    }
    const host = { ...makeHost(config), locks: new Watched(join(box.stateDir, 'locks')) };
    t.strictSame(await verifySnapshot(host, id(2)), { ok: true });
    t.equal(held, 1);
    await box.json(['snapshot', 'prune', D, '--keep', '1', '--confirm', D]);
  });
});
