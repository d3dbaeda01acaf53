/** B4: what a tunnel shows and writes: the line of status, the .rdp file, arguments and options of others' programs. */
import t from 'tap';
import { sftpArguments, sshConfig } from '../../../connect/sftp/ssh-options.ts';
import { sshfsLine } from '../../../connect/sftp/sshfs-line.ts';
import { parseForward } from '../../../connect/tunnel/forward-spec.ts';
import { rdpFile } from '../../../connect/tunnel/rdp-file.ts';
import { statusText } from '../../../connect/tunnel/status-text.ts';

const place = {
  agentSocket: '/run/a/agent',
  knownHosts: '/run/a/known_hosts',
  publicKey: '/run/a/identity.pub',
  config: '/run/a/ssh_config',
  alias: 'vm-0123456789ab',
};

t.test('the .rdp file, word for word: nothing of this device goes into the VM by itself', async (t) => {
  t.equal(
    rdpFile(13389),
    [
      'full address:s:127.0.0.1:13389',
      'prompt for credentials:i:1',
      'authentication level:i:0',
      'negotiate security layer:i:1',
      'redirectclipboard:i:0',
      'redirectdrives:i:0',
      'drivestoredirect:s:',
      'redirectprinters:i:0',
      'redirectcomports:i:0',
      'redirectsmartcards:i:0',
      'redirectwebauthn:i:0',
      'devicestoredirect:s:',
      'usbdevicestoredirect:s:',
      'camerastoredirect:s:',
      'audiocapturemode:i:0',
      'audiomode:i:0',
      'autoreconnection enabled:i:1',
      'screen mode id:i:2',
      'dynamic resolution:i:1',
      'networkautodetect:i:1',
      'bandwidthautodetect:i:1',
      '',
    ].join('\r\n'),
  );
});

t.test('the line of status says what flows where, and fits', async (t) => {
  const port = { localPort: 40000, vmPort: 8080, open: 2, bytesUp: 2048, bytesDown: 3 * 1024 ** 2 };
  const before = [{ ...port, bytesUp: 1024, bytesDown: 1024 ** 2 }];
  t.equal(
    statusText('lab', 'connected', [port], before, 0.5, 200),
    'lab: connected | 40000→8080: 2 open ↑ 2.0 KiB 2.0 KiB/s ↓ 3.0 MiB 4.0 MiB/s',
  );
  const narrow = statusText('lab', 'reconnecting', [port], before, 0.5, 30);
  t.equal(narrow.length, 29);
  t.match(narrow, /^lab: reconnecting .*…$/);
});

t.test('what is passed on to sftp comes after what is fixed, and is a short list', async (t) => {
  const args = sftpArguments(place, 'owner', 40000, ['/mnt/data', '-b', 'batch', '-p']);
  t.strictSame(args.slice(0, 2), ['-F', '/run/a/ssh_config']);
  t.strictSame(args.slice(-6), ['-P', '40000', '-b', 'batch', '-p', 'owner@127.0.0.1:/mnt/data']);
  t.equal(sftpArguments(place, 'owner', 1, []).at(-1), 'owner@127.0.0.1');
  for (const words of [
    ['-o', 'x'],
    ['-S', 'x'],
    ['-F', 'x'],
    ['-D', 'x'],
    ['-J', 'x'],
    ['-P', '1'],
    ['-oX=y'],
    ['a', 'b'],
    ['-b'],
  ])
    t.throws(() => sftpArguments(place, 'owner', 1, words), { code: 'bad-request' }, words.join(' '));
  t.match(sshConfig(place), /^StrictHostKeyChecking=yes$/m);
  t.match(sshConfig(place), /^IdentityAgent=\/run\/a\/agent$/m);
});

t.test('a line for a shell mounts read-only what may only be read', async (t) => {
  const access = { port: 2022, user: 'bob', hostKey: 'ssh-ed25519 AAAA', upload: false, download: true };
  const line = sshfsLine(place, access, 40000, "/home/o'neil/lab");
  t.match(line, / -o reconnect,ro /);
  t.match(line, "'/home/o'\\''neil/lab'");
  t.notMatch(sshfsLine(place, { ...access, upload: true }, 40000, 'lab'), /,ro /);
});

t.test('ports are written as PORT, PORT:LOCALPORT or sftp', async (t) => {
  t.strictSame(parseForward('sftp'), { vmPort: 'sftp', localPort: 0 });
  t.strictSame(parseForward('sftp:2022'), { vmPort: 'sftp', localPort: 2022 });
  t.strictSame(parseForward('80:8080'), { vmPort: 80, localPort: 8080 });
  for (const wrong of ['', '0', 'ftp', '80:', '80:0', '70000', '1-2', 'sftp:x'])
    t.throws(() => parseForward(wrong), { code: 'bad-request' }, wrong);
});
