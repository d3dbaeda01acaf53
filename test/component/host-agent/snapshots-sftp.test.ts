/** H8, H9: snapshots on an SFTP server, a real OpenSSH: kept there, cut short at each step, and a server in trouble. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { makeSnapshotBox, sameWhenRestored } from './support/snapshot-box.ts';
import { makeSshd } from './support/sshd.ts';

const A = 'vm-aaaaaaaaaaaa';
const [D, NEW] = ['drv0000000000000001', 'drv00000000000000ff'];
const id = (n: number) => `snap-${n.toString(16).padStart(16, '0')}`;

t.setTimeout(600_000);

t.test('H8 H9: snapshots on a server', async (t) => {
  const box = await makeSnapshotBox();
  t.teardown(() => box.remove());
  const sshd = await makeSshd(box);
  t.teardown(() => sshd.remove());
  const plain = await readFile(box.config, 'utf8');
  await writeFile(box.config, plain + sshd.settings);
  await sshd.start();
  await box.vm(A);
  const drive = await box.drive(D);
  await box.json(['drive', 'attach', D, A]);
  await drive.io(A, 'write -P 17 0 4M');
  let last = 0;
  const next = () => id(++last);
  const until = async (how: Parameters<typeof box.until>[0], point: string, ...args: string[]) => {
    const result = await box.until(how, point, ...args);
    t.match(result.stdout, 'reached', `${point} is reached`);
    return result;
  };
  /** Nothing but these snapshots, here and at the server; the bitmap of the newest is what the drive has. */
  const holds = async (pool: readonly string[], sftp: readonly string[], bitmaps: readonly string[], what: string) => {
    const files = (ids: readonly string[], endings: readonly string[]) =>
      ids.flatMap((it) => endings.map((ending) => `${it}.${ending}`)).sort();
    t.strictSame(
      { ...(await box.leftovers(A, D)), server: (await readdir(join(sshd.folder, D)).catch(() => [])).sort() },
      {
        checkpoints: [],
        bitmaps: [...bitmaps].sort(),
        files: [...files(pool, ['json', 'qcow2']), ...files(sftp, ['json'])].sort(),
        pool: [],
        notes: [],
        temporary: [],
        sockets: [],
        server: files(sftp, ['json', 'qcow2']),
      },
      what,
    );
  };
  const kept: string[] = [next()];
  await box.snapshot(D, '--id', kept[0] ?? '');

  await t.test('SFTP: kept there and nowhere else, verified and restored from there', async (t) => {
    const sftp: string[] = [];
    const take = async () => {
      const made = await box.snapshot(D, '--target', 'sftp', '--id', next());
      sftp.push(made.snapshotId);
      return made;
    };
    await drive.io(A, 'write -P 33 6M 1M');
    t.match(await take(), { kind: 'full', fullBecause: /another target/, target: 'sftp' });
    await drive.io(A, 'write -P 34 7M 1M', 'discard 0 64k');
    t.match(await take(), { kind: 'incremental', parentId: sftp[0] });
    const model = await drive.remember();
    await holds(kept, sftp, sftp.slice(-1), 'after two');
    t.match(await box.json(['snapshot', 'verify', sftp[1] ?? '']), { ok: true });
    t.ok(await sameWhenRestored(box, sftp[1] ?? '', model, NEW));

    for (const point of [
      'snapshot.create:upload',
      'snapshot.create:name',
      'snapshot.create:record',
      'snapshot.create:tidy',
    ])
      for (const how of ['kill', 'cancel'] as const) {
        if (how === 'cancel' && /record|tidy/.test(point)) continue;
        const snapshotId = next();
        await until(how, point, 'create', D, snapshotId, 'sftp');
        if (how === 'kill') await box.json(['reconcile']);
        if (point.endsWith(':tidy')) sftp.push(snapshotId);
        await holds(kept, sftp, sftp.slice(-1), `${point}, ${how}`);
      }
    for (const point of ['snapshot.restore:read', 'snapshot.restore:convert']) {
      await until('kill', point, 'restore', sftp[1] ?? '', NEW);
      await box.json(['reconcile']);
      await holds(kept, sftp, sftp.slice(-1), point);
    }

    const data = join(sshd.folder, D, `${sftp[0]}.qcow2`);
    const whole = await readFile(data);
    await writeFile(data, whole.subarray(0, -1));
    t.match(await box.agent(['snapshot', 'verify', sftp[1] ?? '', '--json']), {
      exitCode: 65,
      stdout: /bytes instead/,
    });
    await writeFile(data, whole.with(whole.length - 1, 1 ^ (whole.at(-1) ?? 0)));
    t.match(await box.agent(['snapshot', 'verify', sftp[1] ?? '', '--json']), { exitCode: 65, stdout: /SHA-256/ });
    await rm(data);
    t.match(await box.agent(['snapshot', 'verify', sftp[1] ?? '', '--json']), { exitCode: 65 });
    t.match(await box.refusal('snapshot', 'restore', sftp[1] ?? '', '--id', NEW), { code: 'bad-data' });
    await writeFile(data, whole);

    await t.test(
      'a full server, another key, a refused key, no server: each says so, and nothing is left',
      async (t) => {
        await writeFile(join(sshd.folder, 'filler'), Buffer.alloc(32 * 1024 * 1024)).catch(() => {});
        await drive.io(A, 'write -P 44 8M 2M');
        t.match(await box.refusal('snapshot', 'create', D, '--target', 'sftp', '--id', next()), {
          message: /refuses to write|refuses to open|free in/,
        });
        await rm(join(sshd.folder, 'filler'));
        await holds(kept, sftp, sftp.slice(-1), 'full');

        const settings = await readFile(box.config, 'utf8');
        await writeFile(box.config, settings.replace(/hostKey = ".*"/, `hostKey = "${sshd.otherHostKey}"`));
        t.match(await box.refusal('snapshot', 'create', D, '--target', 'sftp'), { code: 'identity-changed' });
        await writeFile(box.config, settings.replace(/keyFile = "(.*)user"/, 'keyFile = "$1other"'));
        t.match(await box.refusal('snapshot', 'create', D, '--target', 'sftp'), { code: 'forbidden' });
        await writeFile(box.config, settings.replace(/keyFile = "(.*)user"/, 'keyFile = "$1user.pub"'));
        t.match(await box.refusal('snapshot', 'create', D, '--target', 'sftp'), { code: 'bad-config' });
        await writeFile(box.config, settings);
        await sshd.stop();
        t.match(await box.refusal('snapshot', 'create', D, '--target', 'sftp'), { code: 'unreachable' });
        t.match(await box.refusal('snapshot', 'verify', sftp[1] ?? ''), { code: 'unreachable' });
        await holds(kept, sftp, sftp.slice(-1), 'no server');
        await sshd.start();
      },
    );
    for (const snapshotId of sftp.toReversed())
      await box.json(['snapshot', 'delete', snapshotId, '--confirm', snapshotId]);
    await holds(kept, [], [], 'all deleted');
  });
});
