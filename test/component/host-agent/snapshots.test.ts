/** H8: snapshots of drives with real libvirt and QEMU. What is restored is compared with a model, byte by byte. */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../../shared/run.ts';
import { makeSnapshotBox, sameWhenRestored } from './support/snapshot-box.ts';

const [A, B] = ['vm-aaaaaaaaaaaa', 'vm-bbbbbbbbbbbb'];
const D = 'drv0000000000000001';
const NEW = 'drv00000000000000ff';
const id = (n: number) => `snap-${n.toString(16).padStart(16, '0')}`;

t.setTimeout(600_000);

t.test('H8: snapshots', async (t) => {
  const box = await makeSnapshotBox();
  t.teardown(() => box.remove());
  await box.vm(A);
  await box.vm(B);
  const drive = await box.drive(D);
  const models = new Map<string, string>();
  const take = async (snapshotId: string, ...args: string[]) => {
    models.set(snapshotId, await drive.remember());
    return box.snapshot(D, '--id', snapshotId, ...args);
  };
  const restores = async (snapshotId: string, format?: string) =>
    t.ok(await sameWhenRestored(box, snapshotId, models.get(snapshotId) ?? '', NEW, format), `${snapshotId} restored`);
  const clean = async (vmId: string, newest: string | undefined) => {
    const { files, ...rest } = await box.leftovers(vmId, D);
    t.strictSame(rest, {
      checkpoints: [],
      bitmaps: newest === undefined ? [] : [newest],
      pool: [],
      notes: [],
      temporary: [],
      sockets: [],
    });
    t.notOk(files?.some((it) => it.endsWith('.partial')));
  };

  await t.test('of a running VM: full, then what has changed, zeroes and discards too', async (t) => {
    await box.json(['drive', 'attach', D, A]);
    await drive.io(A, 'write -P 17 0 8M');
    t.match(await take(id(1)), { kind: 'full', fullBecause: /none yet/, sizeBytes: 64 << 20, target: 'pool' });
    await drive.io(
      A,
      'write -P 34 1M 1M',
      'discard 2M 1M',
      'write -z 3M 1M',
      'write -z -u 4M 1M',
      'write -P 51 20M 64k',
    );
    const second = await take(id(2));
    t.match(second, { kind: 'incremental', parentId: id(1) });
    t.ok(second.storedBytes < 2.5 * 1024 * 1024, `${second.storedBytes} bytes`);
    t.match(
      await take(id(3), '--kind', 'incremental'),
      { kind: 'incremental', parentId: id(2) },
      'nothing has changed',
    );
    await clean(A, id(3));
    const file = await stat(join(box.pool, D, `${id(2)}.qcow2`));
    t.equal(file.mode & 0o777, 0o600);
    const info = await run({ file: 'qemu-img', args: ['info', join(box.pool, D, `${id(2)}.qcow2`)], timeoutMs: 9000 });
    t.notMatch(info.stdout, 'backing file', 'it does not lead to the drive');
    for (const one of [id(1), id(2), id(3)]) await restores(one);
    await restores(id(2), 'raw');
  });

  await t.test('verify finds one wrong byte in what it builds on, and nothing is restored of it', async (t) => {
    t.match(await box.json(['snapshot', 'verify', id(2)]), { ok: true });
    const path = join(box.pool, D, `${id(1)}.qcow2`);
    const flip = async () => {
      const file = await open(path, 'r+');
      const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 1_000_000);
      await file.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, 1_000_000);
      await file.close();
    };
    await flip();
    t.match(await box.agent(['snapshot', 'verify', id(2), '--json']), { exitCode: 65, stdout: new RegExp(id(1)) });
    t.match(await box.refusal('snapshot', 'restore', id(2), '--id', NEW), { code: 'bad-data', message: /SHA-256/ });
    t.notOk((await readdir(box.drives)).some((it) => it.includes(NEW)));
    await flip();
    t.match(await box.json(['snapshot', 'verify', id(2)]), { ok: true });
  });

  await t.test('detached, changed there, snapped there, and in another VM: it goes on building', async (t) => {
    await drive.io(A, 'write -P 68 30M 1M');
    await box.json(['drive', 'detach', D, A]);
    await drive.io(undefined, 'write -P 85 31M 1M', 'discard 0 1M');
    t.match(await take(id(4)), { kind: 'incremental', parentId: id(3) }, 'detached');
    await drive.io(undefined, 'write -P 86 33M 64k');
    await box.json(['drive', 'attach', D, B]);
    await drive.io(B, 'write -P 102 40M 1M', 'write -z 30M 64k');
    t.match(await take(id(5)), { kind: 'incremental', parentId: id(4) }, 'in another VM');
    await box.virsh('destroy', B);
    t.match(await take(id(6)), { kind: 'incremental', parentId: id(5) }, 'that is off');
    await box.json(['vm', 'start', B]);
    await drive.io(B, 'write -P 1 50M 64k');
    t.match(await take(id(7)), { kind: 'incremental', parentId: id(6) }, 'and on again');
    await clean(B, id(7));
    for (const one of [id(4), id(5), id(6), id(7)]) await restores(one);
  });

  await t.test('it can grow: the next one has the new part', async (t) => {
    await box.json(['drive', 'resize', D, '96MiB']);
    await drive.grow('96M');
    await drive.io(B, 'write -P 119 80M 1M');
    t.match(await take(id(8)), { kind: 'incremental', parentId: id(7), sizeBytes: 96 << 20 });
    await restores(id(8));
    await restores(id(7));
  });

  await t.test('when the drive cannot tell for certain what has changed, it is full, and says why', async (t) => {
    await drive.io(B, 'flush'); // what was not, a crash may lose
    await box.killQemu(B);
    t.match(await box.refusal('snapshot', 'create', D, '--kind', 'incremental'), {
      code: 'wrong-state',
      message: /does not tell for certain what has changed/,
    });
    await box.json(['vm', 'start', B]);
    t.match(await box.refusal('snapshot', 'create', D, '--kind', 'incremental'), { code: 'wrong-state' });
    await box.json(['drive', 'resize', D, '100MiB']); // QEMU refuses as long as the file has a broken bitmap
    await drive.grow('100M');
    t.match(await take(id(9)), { kind: 'full', fullBecause: /does not tell for certain/, sizeBytes: 100 << 20 });
    await clean(B, id(9));
    await box.json(['drive', 'detach', D, B]);
    const bitmap = ['bitmap', '--remove', drive.file, id(9)];
    await run({ file: 'qemu-img', args: bitmap, timeoutMs: 9000 });
    t.match(await take(id(10)), { kind: 'full' });
    await restores(id(10));
    await clean(A, id(10));
  });
});
