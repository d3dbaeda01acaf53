/** C6, C8: vmc's SFTP server with OpenSSH's sftp and ssh, and accounts that the kernel tells apart. */
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { Right } from '../../../shared/api/rights.ts';
import { inOwnEtc } from './in-own-etc.ts';
import { startSite } from './sftp-site.ts';

const BOTH: Right[] = ['files', 'upload', 'download'];

await inOwnEtc(import.meta.url, () => {
  t.test('C6 put, get, resume, rename, remove, folders; recorded with name, size and direction', async (t) => {
    const site = await startSite(t);
    const bob = await site.person('bob', BOTH);
    const local = join(site.files, 'local');
    await mkdir(local);
    const content = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));
    await writeFile(join(local, 'whole'), content);
    await writeFile(join(local, 'part'), content.subarray(0, 100_000));
    await writeFile(join(local, 'it\'s "ä"'), 'x');
    await mkdir(join(local, 'tree/deep'), { recursive: true });
    await writeFile(join(local, 'tree/deep/leaf'), 'leaf');
    const put = await site.batch(bob, [
      `lcd ${local}`,
      'put whole',
      'put part half',
      'put -R tree',
      `put "it's \\"ä\\""`,
      'rename whole renamed',
      'mkdir made',
      'ls -l',
    ]);
    t.equal(put.code, 0, put.stderr);
    const resumed = await site.batch(bob, [
      `lcd ${local}`,
      'reput whole half',
      'get half fetched',
      'reget renamed part',
      'get -R tree fetched-tree',
      'rm renamed',
      'rmdir made',
    ]);
    t.equal(resumed.code, 0, resumed.stderr);
    for (const name of ['fetched', 'part']) t.ok(content.equals(await readFile(join(local, name))), name);
    t.equal(await readFile(join(local, 'fetched-tree/deep/leaf'), 'utf8'), 'leaf');

    const { uid } = await stat('/home/bob');
    t.ok(uid >= 20_000 && uid <= 59_999, 'a uid of our range');
    t.equal((await stat('/home/bob')).mode & 0o7777, 0o700);
    const half = await stat('/home/bob/half');
    t.match({ uid: half.uid, gid: half.gid, mode: half.mode & 0o777 }, { uid, gid: uid, mode: 0o640 }, 'theirs, umask');
    t.match(await readFile('/etc/shadow', 'utf8'), /^bob:!/m, 'no password');

    const recorded = site.recorded(bob.who);
    for (const line of [
      'file.upload ok 300000 bytes /home/bob/whole',
      'file.upload ok 100000 bytes /home/bob/half',
      'file.upload ok 4 bytes /home/bob/tree/deep/leaf',
      `file.upload ok 1 bytes /home/bob/it's "ä"`,
      'file.rename ok "/home/bob/whole" new "/home/bob/renamed"',
      'file.mkdir ok /home/bob/made',
      'file.upload ok 200000 bytes /home/bob/half',
      'file.download ok 300000 bytes /home/bob/half',
      'file.download ok 200000 bytes /home/bob/renamed',
      'file.download ok 4 bytes /home/bob/tree/deep/leaf',
      'file.remove ok /home/bob/renamed',
      'file.rmdir ok /home/bob/made',
    ])
      t.ok(recorded.includes(line), `recorded: ${line}`);
    t.match(recorded, [/^sftp\.session begun bob$/]);
    t.equal(recorded.filter((line) => /^sftp\.end ok \d+ bytes of SFTP received, \d+ sent$/.test(line)).length, 2);
    t.notOk(
      recorded.some((line) => /unclear/.test(line)),
      `all of it was understood: ${recorded.filter((line) => /unclear/.test(line))}`,
    );
    t.strictSame(site.problems, []);
  });
});
