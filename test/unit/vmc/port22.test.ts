/** C4: what systemd says of sockets, taken apart. test/component/vmc/socket-activation.test.ts has the sockets themselves. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkGiven, countGiven } from '../../../vmc/port22/given-socket.ts';
import { parseSocketList } from '../../../vmc/port22/parse-socket-list.ts';
import { describeOwner, findPortOwner } from '../../../vmc/port22/port-owner.ts';

t.test('C4 only sockets that are meant for this process count', async (t) => {
  t.equal(countGiven({}, 7), 0);
  t.equal(countGiven({ LISTEN_PID: '7', LISTEN_FDS: '1' }, 7), 1);
  t.equal(countGiven({ LISTEN_PID: '8', LISTEN_FDS: '1' }, 7), 0);
  t.equal(countGiven({ LISTEN_PID: '7' }, 7), 0);
  t.equal(countGiven({ LISTEN_FDS: '1' }, 7), 0);
  for (const odd of ['', '-1', 'one', '1 ', '99999'])
    t.throws(() => countGiven({ LISTEN_PID: '7', LISTEN_FDS: odd }, 7), { code: 'bad-config' }, odd);
});

t.test('C4 what was given must be the port, listening', async (t) => {
  const proc = t.testdir();
  mkdirSync(join(proc, 'fd'));
  mkdirSync(join(proc, 'net'));
  const line = (address: string, state: string, inode: number) =>
    `   0: ${address} 00000000:0000 ${state} 0:0 00:0 0     0        0 ${inode} 1 0\n`;
  const zero6 = '0'.repeat(32);
  writeFileSync(join(proc, 'net/tcp'), `header\n${line('00000000:0016', '01', 11)}${line('00000000:0017', '0A', 12)}`);
  writeFileSync(join(proc, 'net/tcp6'), `header\n${line(`${zero6}:0016`, '0A', 13)}`);
  const given = (target: string) => {
    const name = `fd-${target.replace(/\W/g, '')}`;
    mkdirSync(join(proc, name, 'fd'), { recursive: true });
    symlinkSync(target, join(proc, name, 'fd/3'));
    symlinkSync('../net', join(proc, name, 'net'));
    return join(proc, name);
  };
  await t.resolves(checkGiven(1, 22, given('socket:[13]')), 'on IPv6, and so on IPv4 too');
  await t.resolves(checkGiven(1, 23, given('socket:[12]')));
  for (const [target, why] of [
    ['socket:[11]', 'a connection'],
    ['socket:[14]', 'some other kind of socket'],
    ['/dev/null', 'no socket'],
  ] as const)
    await t.rejects(checkGiven(1, 22, given(target)), { code: 'bad-config', hint: /systemctl edit vmc\.socket/ }, why);
  await t.rejects(checkGiven(1, 24, join(proc, 'fd-socket12')), { message: /another socket.*port 24/ });
  await t.rejects(checkGiven(2, 22), { message: /2 sockets/ });
  await t.rejects(checkGiven(1, 22, join(proc, 'nothing')), { message: /no socket/ });
});

t.test('C4 which unit systemd holds a port for', async (t) => {
  const list = JSON.stringify([
    { listen: '/run/dbus/system_bus_socket', unit: 'dbus.socket', activates: 'dbus.service' },
    { listen: 'audit 1', unit: 'systemd-journald-audit.socket', activates: 'systemd-journald.service' },
    { listen: '0.0.0.0:222', unit: 'other.socket', activates: 'other.service' },
    { listen: '[::]:22', unit: 'ssh.socket', activates: 'ssh.service' },
    { listen: '127.0.0.1:2222', unit: 'local.socket', activates: 'local.service' },
    { listen: '/run/a:2022', unit: 'path.socket', activates: null },
  ]);
  t.equal(parseSocketList(list, 22), 'ssh.socket');
  t.equal(parseSocketList(list, 2222), 'local.socket');
  t.equal(parseSocketList(list, 2022), undefined, 'a path is no port');
  t.equal(parseSocketList('[]', 22), undefined);
  for (const odd of ['', '{}', '[{"listen":1}]', 'Failed to connect to bus'])
    t.equal(parseSocketList(odd, 22), undefined);
  t.equal(
    describeOwner({ pid: 1, name: 'systemd', isVmc: false, unit: 'ssh.socket' }),
    'systemd (pid 1) for ssh.socket',
  );
  t.equal(describeOwner({ pid: 7, name: 'sshd', isVmc: false }), 'sshd (pid 7)');
});

t.test(
  'C4 vmc is found beside systemd, which gave it the port, and with the options that its service gives to Node',
  async (t) => {
    const proc = t.testdir();
    mkdirSync(join(proc, 'net'));
    const line = '   0: 00000000:0016 00000000:0000 0A 0:0 00:0 0     0        0 13 1 0\n';
    writeFileSync(join(proc, 'net/tcp'), `header\n${line}`);
    const add = (pid: number, comm: string, words: string[], target = 'socket:[13]') => {
      mkdirSync(join(proc, String(pid), 'fd'), { recursive: true });
      symlinkSync(target, join(proc, String(pid), 'fd/3'));
      writeFileSync(join(proc, String(pid), 'comm'), `${comm}\n`);
      writeFileSync(join(proc, String(pid), 'cmdline'), `${words.join('\0')}\0`);
    };
    t.equal(await findPortOwner(22, proc), undefined);
    add(1, 'systemd', ['/sbin/init']);
    add(9, 'other', ['/usr/bin/other'], 'socket:[14]');
    t.match(await findPortOwner(22, proc), { pid: 1, name: 'systemd', isVmc: false }, 'only systemd: vmc does not run');
    add(7, 'MainThread', ['/usr/lib/vmc/node', '--max-semi-space-size=1', '/usr/lib/vmc/main.js', 'daemon']);
    add(8, 'sh', ['sh', '-c', 'keeps it too']);
    t.same(await findPortOwner(22, proc), { pid: 7, name: 'node', isVmc: true });
    t.equal(await findPortOwner(23, proc), undefined);
  },
);
