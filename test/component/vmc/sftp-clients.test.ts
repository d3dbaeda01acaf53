/** C6: other clients, and many files. */
import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { Right } from '../../../shared/api/rights.ts';
import { run } from '../../../shared/run.ts';
import { inOwnEtc } from './in-own-etc.ts';
import { PATIENCE_MS, PORT, runClient, startSite } from './sftp-site.ts';

const BOTH: Right[] = ['files', 'upload', 'download'];
const MANY = 10_000;

await inOwnEtc(import.meta.url, () => {
  t.test('rclone: there, checked, and back', async (t) => {
    const site = await startSite(t);
    const bob = await site.person('bob', BOTH);
    const { access, knownHosts } = await site.deviceOf(bob);
    const local = join(site.files, 'local');
    await mkdir(join(local, 'deep'), { recursive: true });
    for (let index = 0; index < 50; index++) await writeFile(join(local, 'deep', `ä ${index}`), `content ${index}`);
    const config = join(site.files, 'rclone.conf');
    await writeFile(config, '');
    const rclone = (...words: string[]) =>
      runClient('rclone', [
        ...['--config', config, '--sftp-host', '127.0.0.1', '--sftp-port', `${PORT}`, '--sftp-user', access.user],
        ...['--sftp-key-file', bob.key, '--sftp-known-hosts-file', knownHosts, '--sftp-shell-type', 'none', '-q'],
        ...words,
      ]);
    const there = await rclone('copy', local, ':sftp:there');
    t.equal(there.code, 0, there.stderr);
    const checked = await rclone('check', '--download', local, ':sftp:there');
    t.equal(checked.code, 0, checked.stderr);
    const back = await rclone('copy', ':sftp:there', join(site.files, 'back'));
    t.equal(back.code, 0, back.stderr);
    t.equal(await readFile(join(site.files, 'back/deep/ä 49'), 'utf8'), 'content 49');
    t.equal((await rclone('purge', ':sftp:there')).code, 0);
    t.equal(site.recorded(bob.who).filter((line) => line.startsWith('file.upload ok')).length, 50);
  });

  t.test('sshfs: a mounted folder is read, written and renamed in', async (t) => {
    const site = await startSite(t);
    const bob = await site.person('bob', BOTH);
    const { words, target } = await site.deviceOf(bob);
    const mounted = join(site.files, 'mounted');
    await mkdir(mounted);
    const options = ['-o', `ssh_command=ssh ${words.join(' ')}`, '-o', 'idmap=none', '-p', `${PORT}`];
    const child = spawn('sshfs', [`${target}:`, mounted, ...options], { stdio: 'ignore', timeout: PATIENCE_MS });
    t.equal(await new Promise((resolve) => child.once('exit', resolve)), 0, 'mounted');
    t.teardown(() => run({ file: 'umount', args: ['--lazy', '--', mounted], okExitCodes: [0, 32], timeoutMs: 20_000 }));
    const content = Buffer.alloc(3_000_000, 'sshfs ');
    await writeFile(join(mounted, 'written'), content);
    t.ok(content.equals(await readFile('/home/bob/written')), 'written');
    t.ok(content.equals(await readFile(join(mounted, 'written'))), 'read');
    await run({ file: 'mv', args: [join(mounted, 'written'), join(mounted, 'moved')], timeoutMs: 20_000 });
    t.ok((await readdir(mounted)).includes('moved'));
    await t.rejects(readFile(join(mounted, '../mounted/../../etc/shadow')), 'no way out');
    await run({ file: 'umount', args: ['--', mounted], timeoutMs: 20_000 });
  });

  t.test(`${MANY} small files; the audit log tells of each or of their sum, and stalls nothing`, async (t) => {
    const site = await startSite(t);
    const bob = await site.person('bob', BOTH);
    const local = join(site.files, 'many');
    await mkdir(local);
    for (let index = 0; index < MANY; index++) await writeFile(join(local, `f${index}`), `${index}`);
    const put = await site.batch(bob, [`put -R ${local} many`]);
    t.equal(put.code, 0, put.stderr.slice(-500));
    t.equal((await readdir('/home/bob/many')).length, MANY);
    t.equal(await readFile(`/home/bob/many/f${MANY - 1}`, 'utf8'), `${MANY - 1}`);
    const recorded = site.recorded(bob.who);
    const each = recorded.filter((line) => line.startsWith('file.upload ok')).length;
    const sums = recorded.map((line) => /^file\.summarised ok (\d+) files up/.exec(line)?.[1] ?? '0').map(Number);
    const summed = sums.reduce((all, one) => all + one, 0);
    t.equal(each + summed, MANY, `${each} one by one, ${summed} summed up`);
    t.ok(each >= 999 && each < 1500, 'bounded');
  });
});
