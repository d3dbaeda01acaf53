/** C6, C8, C9, C16: who gets in by SFTP, what the kernel lets them do there, and how soon it ends. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, chown, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import t from 'tap';
import type { Right } from '../../../shared/api/rights.ts';
import { openSshPublicKey } from '../../../shared/identity/fingerprint.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { run } from '../../../shared/run.ts';
import { inOwnEtc } from './in-own-etc.ts';
import { type Device, idleSftp, keyFile, PORT, runClient, startSite } from './sftp-site.ts';

const BOTH: Right[] = ['files', 'upload', 'download'];
const REQUIRED_MS = 1000;

/** Processes of sftp-server that run as this account. */
async function serversOf(uid: number): Promise<number[]> {
  const found: number[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const [status, comm] = await Promise.all(
      ['status', 'comm'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')),
    );
    if (comm === 'sftp-server\n' && new RegExp(`^Uid:\\s+${uid}\\s`, 'm').test(status ?? '')) found.push(Number(pid));
  }
  return found;
}

/** Descriptors that this process was given, and that stay open in its children: proc_pid_fdinfo(5), O_CLOEXEC. */
const GIVEN = readdirSync('/proc/self/fd').filter((name) => {
  const path = `/proc/self/fdinfo/${name}`;
  const flags = existsSync(path) ? /^flags:\s+(\d+)$/m.exec(readFileSync(path, 'utf8'))?.[1] : undefined;
  return flags !== undefined && (Number.parseInt(flags, 8) & 0o2000000) === 0;
});

await inOwnEtc(import.meta.url, () => {
  t.test('C8 the kernel decides: own files, others’ files, groups, umask, links', async (t) => {
    const site = await startSite(t, { umask: '0027' });
    const [ann, bob] = [await site.person('ann', BOTH), await site.person('bob', [...BOTH, 'drives'])];
    await Promise.all([site.accessOf(ann), site.accessOf(bob)]);
    const local = join(site.files, 'local');
    await mkdir(local);
    await writeFile(join(local, 'mine'), 'mine');
    await chmod(join(local, 'mine'), 0o666);
    t.equal((await site.batch(ann, [`put ${local}/mine`])).code, 0);
    t.equal((await stat('/home/ann/mine')).mode & 0o777, 0o640, 'umask 0027');
    await chmod('/home/ann', 0o711);
    await chmod('/home/ann/mine', 0o600);
    const { uid } = await stat('/home/ann');
    await mkdir('/home/shared');
    await run({ file: 'groupadd', args: ['--gid', '30000', 'project'], timeoutMs: 20_000 });
    await run({ file: 'gpasswd', args: ['--add', 'bob', 'project'], timeoutMs: 20_000 });
    await writeFile('/home/shared/of-the-group', 'ours');
    await chown('/home/shared/of-the-group', 0, 30_000);
    await chmod('/home/shared/of-the-group', 0o640);
    t.equal((await site.batch(bob, [`get /home/shared/of-the-group ${local}/got`])).code, 0, 'a supplementary group');
    t.not((await site.batch(ann, [`get /home/shared/of-the-group ${local}/not`])).code, 0, 'who is not in it');

    for (const [what, command] of [
      ['0600 of somebody else', `get /home/ann/mine ${local}/not`],
      ['shadow', `get /etc/shadow ${local}/not`],
      ['into somebody else’s home', `put ${local}/mine /home/ann/from-bob`],
      ['the system', `put ${local}/mine /etc/cron.d/evil`],
      ['vmc’s state', `ls ${site.stateDir}`],
      ['giving files away', `chown 0 of-bob`],
    ] as const) {
      const { code, stderr } = await site.batch(bob, [`put ${local}/mine of-bob`, command]);
      t.equal(code, 1, what);
      t.match(stderr, /Permission denied|Operation not permitted|Couldn't|Can't/i, what);
    }
    await symlink('/etc/shadow', '/home/bob/link');
    t.not((await site.batch(bob, [`get link ${local}/not`])).code, 0, 'a link leads no further than its reader may go');
    t.same(await readdir(local), ['got', 'mine']);
    t.match(site.recorded(bob.who).join('\n'), /^file\.open Permission denied \/home\/ann\/mine$/m);

    const { child, exited } = await idleSftp(site, bob);
    const [pid] = await serversOf((await stat('/home/bob')).uid);
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    for (const field of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      t.match(status, new RegExp(`^${field}:\\s+0+$`, 'm'), `no ${field}`);
    t.match(status, /^NoNewPrivs:\s+1$/m);
    const own = (await stat('/home/bob')).uid;
    t.match(status, new RegExp(`^Uid:\\s+${own}\\s+${own}\\s+${own}\\s+${own}$`, 'm'));
    const groups = (/^Groups:\s+([\d ]+?)\s*$/m.exec(status)?.[1] ?? '').split(' ').map(Number);
    t.strictSame(new Set(groups), new Set([19_999, 30_000, own]), 'drives, project, their own');
    t.equal(await readFile(`/proc/${pid}/oom_score_adj`, 'utf8'), '0\n');
    const open = (await readdir(`/proc/${pid}/fd`)).filter((name) => !GIVEN.includes(name));
    t.strictSame(open.sort(), ['0', '1', '2'], 'nothing that vmc has open');
    t.notMatch(await readFile(`/proc/${pid}/environ`, 'utf8'), /VMC_TEST_OWN_ETC/, 'nor of its environment');
    t.not(
      Number((await readFile(`/proc/${pid}/stat`, 'utf8')).split(' ')[4]),
      process.pid,
      'a process group of its own',
    );
    child.stdin.end();
    await exited;
    t.ok(uid !== own);
  });

  t.test('C9 upload only, download only', async (t) => {
    const site = await startSite(t);
    const local = join(site.files, 'local');
    await mkdir(local);
    await writeFile(join(local, 'a'), 'content');
    const up = await site.person('up', ['files', 'upload']);
    t.match(await site.accessOf(up), { user: 'up', upload: true, download: false });
    t.equal((await site.batch(up, [`put ${local}/a`, 'rename a b', 'ls -l', `put ${local}/a c`, 'rm c'])).code, 0);
    const { code, stderr } = await site.batch(up, [`get b ${local}/back`]);
    t.equal(code, 1);
    t.match(stderr, /Permission denied/);
    t.equal((await stat(join(local, 'back')).catch(() => undefined))?.size ?? 0, 0, 'not a byte came');
    t.not((await site.batch(up, [`copy b d`])).code, 0, 'no copying either');
    t.match(site.recorded(up.who).join('\n'), /^file\.open Permission denied|^file\.refused Permission denied read$/m);

    const down = await site.person('down', ['files', 'download']);
    t.match(await site.accessOf(down), { upload: false, download: true });
    await writeFile('/home/down/a', 'for you');
    await chmod('/home/down/a', 0o644);
    t.equal((await site.batch(down, [`get a ${local}/got`, 'ls -l'])).code, 0);
    t.equal(await readFile(join(local, 'got'), 'utf8'), 'for you');
    for (const command of [
      `put ${local}/a new`,
      `put ${local}/a a`,
      'rm a',
      'rename a b',
      'mkdir d',
      'ln -s a b',
      'chmod 600 a',
    ])
      t.equal((await site.batch(down, [command])).code, 1, command);
    t.same(
      (await readdir('/home/down')).filter((name) => !name.startsWith('.')),
      ['a'],
    );

    for (const none of [['files'], ['upload', 'download'], ['ports']] as Right[][])
      t.equal(await site.accessOf(await site.person(`none-${none[0]}`, none)), undefined, none.join());
  });

  t.test('C6 nobody else gets in, and there is nothing but SFTP', async (t) => {
    const site = await startSite(t);
    const [bob, eve] = [await site.person('bob', BOTH), await site.person('eve', BOTH)];
    const stranger = await site.person('stranger', []);
    const { words, target } = await site.deviceOf(bob);
    await site.accessOf(eve);
    const as = (device: Device, user: string, more: string[] = []) => {
      const own = words.map((word) => (word === bob.key ? device.key : word));
      return runClient('sftp', [...more, ...own, '-P', `${PORT}`, '-b', '-', `${user}@127.0.0.1`], 'pwd\n');
    };
    t.equal((await as(bob, 'bob')).code, 0);
    for (const [what, ran] of [
      ['somebody else’s key', await as(eve, 'bob')],
      ['a key without rights', await as(stranger, 'bob')],
      ['root', await as(bob, 'root')],
      ['somebody else’s name', await as(bob, 'eve')],
      ['nobody’s name', await as(bob, 'mallory')],
    ] as const) {
      t.equal(ran.code, 255, what);
      t.match(ran.stderr, /Permission denied \(publickey\)/, what);
    }
    const password = ['-o', 'BatchMode=no', '-o', 'PreferredAuthentications=password,keyboard-interactive,hostbased'];
    t.match(await as(bob, 'bob', password), { code: 255, stderr: /Permission denied \(publickey\)/ }, 'by password');

    for (const [what, options, command] of [
      ['shell', [], []],
      ['exec', [], ['id']],
      ['pty', ['-tt'], ['id']],
      ['scp’s program', [], ['scp', '-t', '/tmp']],
      ['another subsystem', ['-s'], ['netconf']],
    ] as const) {
      const ran = await site.ssh(bob, options, command);
      t.not(ran.code, 0, what);
      t.notMatch(ran.stdout, /uid=/, what);
    }
    const forward = ['-o', 'ExitOnForwardFailure=yes', '-N'];
    t.not((await site.ssh(bob, [...forward, '-R', '127.0.0.1:4444:127.0.0.1:22'])).code, 0, 'remote forwarding');
    const { stderr } = await site.ssh(bob, ['-W', '127.0.0.1:22']);
    t.match(stderr, /open failed|forwarding failed|administratively/, 'direct-tcpip');

    for (const weak of [
      'KexAlgorithms=curve25519-sha256',
      'KexAlgorithms=diffie-hellman-group14-sha256',
      'KexAlgorithms=ecdh-sha2-nistp521',
      'Ciphers=chacha20-poly1305@openssh.com',
      'Ciphers=aes256-cbc',
      'HostKeyAlgorithms=ecdsa-sha2-nistp256',
      'MACs=hmac-sha1',
      'PubkeyAcceptedAlgorithms=ecdsa-sha2-nistp256',
    ]) {
      const cipher = weak.startsWith('MACs') ? ['-o', 'Ciphers=aes256-ctr'] : [];
      t.equal((await as(bob, 'bob', ['-o', weak, ...cipher])).code, 255, weak);
    }
    for (const good of [
      'Ciphers=aes256-gcm@openssh.com',
      'Ciphers=aes128-gcm@openssh.com',
      'Ciphers=aes256-ctr',
      'KexAlgorithms=ecdh-sha2-nistp384',
    ])
      t.equal((await as(bob, 'bob', ['-o', good])).code, 0, good);
    const refused = site.log().filter(({ what }) => what === 'sftp.refused');
    t.ok(
      refused.some(
        ({ who, result, target: name }) => who === eve.who && result === 'not-their-account' && name === 'bob',
      ) || refused.some(({ result }) => result === 'not-their-account'),
    );
    t.ok(
      refused.some(({ result }) => result === 'forbidden'),
      'rights',
    );
    t.equal(target, 'bob@127.0.0.1');
  });

  t.test('C6 any key becomes a file that ssh-keygen and ssh2 read, also one that begins with zeros', async (t) => {
    let zeros = 0;
    const folder = t.testdir();
    for (let count = 0; zeros < 2; count++) {
      const identity = generateIdentity();
      if (identity.public.ed25519[0] !== 0 && count > 0) continue;
      if (identity.public.ed25519[0] === 0) zeros++;
      const parsed = ssh2.utils.parseKey(keyFile(identity));
      t.notOk(parsed instanceof Error, 'ssh2');
      const path = join(folder, `key-${count}`);
      await writeFile(path, keyFile(identity), { mode: 0o600 });
      const { stdout } = await run({ file: 'ssh-keygen', args: ['-y', '-f', path], timeoutMs: 20_000 });
      t.equal(stdout.trim(), `${openSshPublicKey(identity.public.ed25519, 'test')}`, 'ssh-keygen');
    }
  });

  t.test('C6 the host key stays, for root alone; a damaged one is not replaced', async (t) => {
    const site = await startSite(t);
    const bob = await site.person('bob', BOTH);
    const first = (await site.accessOf(bob))?.hostKey;
    t.match(first, /^ssh-ed25519 [A-Za-z0-9+/]+=*$/);
    const path = join(site.stateDir, 'sftp-host-key');
    t.equal((await stat(path)).mode & 0o777, 0o600);
    await site.restart();
    t.equal((await site.accessOf(bob))?.hostKey, first);
    t.equal((await site.batch(bob, ['pwd'])).code, 0, 'the same account, too');
    const key = await readFile(path);
    const flipped = Buffer.from(key);
    flipped[3] = (flipped[3] ?? 0) ^ 1;
    for (const [what, text, mode] of [
      ['cut', key.subarray(0, 40), 0o600],
      ['one bit', flipped, 0o600],
      ['for others', key, 0o644],
    ] as const) {
      await writeFile(path, text);
      await chmod(path, mode);
      await site.restart();
      await t.rejects(site.accessOf(bob), { code: 'bad-data' }, what);
      t.same(await readFile(path), text);
    }
  });

  t.test('C16 who loses a right is cut within a second, with their sftp-server', async (t) => {
    const site = await startSite(t);
    const [bob, ann] = [await site.person('bob', [...BOTH, 'drives']), await site.person('ann', BOTH)];
    const [cutOff, stays] = [await idleSftp(site, bob), await idleSftp(site, ann)];
    const uid = (await stat('/home/bob')).uid;
    t.equal((await serversOf(uid)).length, 1);
    t.match(await readFile('/etc/group', 'utf8'), /^vmc-drives:x:19999:bob$/m);
    const began = performance.now();
    await site.people.change(site.ownerPrint, {
      kind: 'change',
      person: bob.who,
      role: 'user',
      rights: ['files', 'download'],
    });
    await cutOff.exited;
    const ms = Math.round(performance.now() - began);
    t.ok(ms < REQUIRED_MS, `after ${ms} ms`);
    while ((await serversOf(uid)).length > 0)
      if (performance.now() - began > REQUIRED_MS) t.fail('sftp-server lives on');
    t.equal(stays.child.exitCode, null, 'others stay');
    t.match(await site.accessOf(bob), { upload: false, download: true }, 'what is left can be used');
    t.match(await readFile('/etc/group', 'utf8'), /^vmc-drives:x:19999:$/m, 'drives no more');
    t.ok(site.recorded(bob.who).includes('sftp.session forbidden bob'));

    const again = await idleSftp(site, bob);
    await site.people.change(site.ownerPrint, { kind: 'remove', person: bob.who });
    await again.exited;
    const { words } = await site.deviceOf(ann);
    const back = await runClient(
      'sftp',
      [...words.map((word) => (word === ann.key ? bob.key : word)), '-P', `${PORT}`, '-b', '-', 'bob@127.0.0.1'],
      'pwd\n',
    );
    t.equal(back.code, 255, 'removed: not in again');

    const begunClose = performance.now();
    await site.sftp.close();
    await stays.exited;
    t.ok(performance.now() - begunClose < 5000, 'the end of vmc ends all');
    t.same(await serversOf((await stat('/home/ann')).uid), []);
    await site.restart();
  });

  t.test('C8 somebody new never gets the account of who was there before', async (t) => {
    const site = await startSite(t);
    const bob = await site.person('bob', BOTH);
    await site.accessOf(bob);
    const { uid } = await stat('/home/bob');
    await site.people.change(site.ownerPrint, { kind: 'remove', person: bob.who });
    await run({ file: 'userdel', args: ['--remove', 'bob'], okExitCodes: [0, 12], timeoutMs: 20_000 });
    const other = await site.person('bob', BOTH);
    const access = await site.accessOf(other);
    t.equal(access?.user, 'bob-2');
    t.not((await stat('/home/bob-2')).uid, uid);
    await site.people.change(site.ownerPrint, {
      kind: 'add',
      ed25519: bob.identity.public.ed25519,
      name: 'robert',
      role: 'user',
      rights: BOTH,
    });
    t.match(await site.accessOf(bob), { user: 'bob' }, 'who comes back has their own again');
    t.equal((await stat('/home/bob')).uid, uid);

    await writeFile('/etc/passwd', `${await readFile('/etc/passwd', 'utf8')}joe:x:1234:1234::/home/joe:/bin/sh\n`);
    t.match(await site.accessOf(await site.person('joe', BOTH)), { user: 'joe-2' }, 'not an account that was there');
    t.match(
      await site.accessOf(await site.person('docker', BOTH)),
      { user: 'docker-2' },
      'not one that a package would give power',
    );
  });
});
