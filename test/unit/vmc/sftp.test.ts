/** C6, C9: rights to files, the sftp-server that they make, and what it says. */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import type { Right } from '../../../shared/api/rights.ts';
import { equalBytes } from '../../../shared/bytes.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { sign } from '../../../shared/identity/native.ts';
import { openSshBlob } from '../../../shared/identity/ssh-form.ts';
import { isFreshRoot } from '../../../vmc/drives/plan-root.ts';
import { LogLines, MAX_LOG_LINE } from '../../../vmc/sftp/log-lines.ts';
import { parseLogLine } from '../../../vmc/sftp/parse-log.ts';
import { allowedRequests, fileAccess, serverCommand } from '../../../vmc/sftp/plan-server.ts';
import { isProven, keyOf } from '../../../vmc/sftp/proof.ts';
import { type FileEvent, TransferLog } from '../../../vmc/sftp/transfer-log.ts';

const rights = (...all: Right[]) => new Set(all);

t.test('C9 files and one of upload, download: else nothing', async (t) => {
  t.equal(fileAccess(undefined), undefined);
  for (const few of [[], ['files'], ['upload', 'download'], ['ports', 'drives']] as Right[][])
    t.equal(fileAccess(rights(...few)), undefined, few.join());
  t.same(fileAccess(rights('files', 'upload')), { upload: true, download: false });
  t.same(fileAccess(rights('files', 'download')), { upload: false, download: true });
  t.same(fileAccess(rights('files', 'upload', 'download')), { upload: true, download: true });
});

t.test('C9 requests: nothing that gives content without download, nothing that changes without upload', async (t) => {
  const upload = allowedRequests({ upload: true, download: false });
  for (const request of ['read', 'copy-data']) t.notOk(upload.includes(request), request);
  const download = allowedRequests({ upload: false, download: true });
  for (const request of [
    'write',
    'remove',
    'rename',
    'posix-rename',
    'setstat',
    'symlink',
    'hardlink',
    'mkdir',
    'copy-data',
  ])
    t.notOk(download.includes(request), request);
  const account = { name: 'bob', uid: 20_001, home: '/home/bob', shell: '/bin/bash' };
  const both = serverCommand(account, { upload: true, download: true }, '0027');
  t.notOk(both.args.includes('-R'));
  t.ok(serverCommand(account, { upload: false, download: true }, '0007').args.includes('-R'));
  t.match(both.args.join(' '), /--reuid 20001 --regid 20001 --init-groups .* --no-new-privs .* -u 0027 /);
  t.same(Object.keys(both.env), ['PATH', 'LC_ALL', 'HOME', 'USER', 'LOGNAME', 'SHELL']);
});

t.test('a key, and its proof; each byte counts', async (t) => {
  const who = generateIdentity();
  const blob = openSshBlob(who.public.ed25519);
  const key = keyOf('ssh-ed25519', blob);
  t.ok(key !== undefined && equalBytes(key, who.public.ed25519));
  t.equal(keyOf('ssh-rsa', blob), undefined);
  t.equal(keyOf('ssh-ed25519', blob.subarray(1)), undefined);
  t.equal(keyOf('ssh-ed25519', new Uint8Array(0)), undefined);
  for (let at = 0; at < 19; at++) {
    const wrong = blob.slice();
    wrong[at] = (wrong[at] ?? 0) ^ 1;
    t.equal(keyOf('ssh-ed25519', wrong), undefined, `byte ${at}`);
  }
  const small = blob.slice();
  small.fill(0, 19);
  t.equal(keyOf('ssh-ed25519', small), undefined, 'a key that belongs to nobody');
  const message = randomBytes(100);
  const signature = sign(message, who.secret.ed25519);
  t.ok(isProven(who.public.ed25519, message, signature));
  for (let at = 0; at < signature.length; at++) {
    const wrong = Uint8Array.from(signature);
    wrong[at] = (wrong[at] ?? 0) ^ 1;
    if (isProven(who.public.ed25519, message, wrong)) t.fail(`byte ${at}`);
  }
  t.notOk(isProven(who.public.ed25519, message, signature.subarray(1)));
});

t.test('what sftp-server says', async (t) => {
  t.same(parseLogLine('open "/home/bob/a" flags WRITE,CREATE,TRUNCATE mode 0644'), {
    kind: 'open',
    name: '/home/bob/a',
    writes: true,
  });
  t.same(parseLogLine('open "/home/bob/a" flags READ mode 0666'), { kind: 'open', name: '/home/bob/a', writes: false });
  const close = { kind: 'close', name: '/x', read: 5, written: 0, forced: false };
  t.same(parseLogLine('close "/x" bytes read 5 written 0'), close);
  t.same(parseLogLine('forced close "/x" bytes read 5 written 0'), { ...close, forced: true });
  t.same(parseLogLine('rename old "/a" new "/b"'), { kind: 'change', what: 'rename', target: '"/a" new "/b"' });
  t.same(parseLogLine('sent status Permission denied'), { kind: 'status', text: 'Permission denied' });
  t.same(parseLogLine('Refusing non-allowlisted read request'), { kind: 'refused', request: 'read' });
  t.same(parseLogLine('Refusing write request in read-only mode'), { kind: 'refused', request: 'write' });
  for (const noise of ['opendir "/"', 'closedir "/"', 'lstat name "/x"', 'set "/x" mode 0644', 'realpath "."'])
    t.same(parseLogLine(noise), { kind: 'noise' }, noise);
  t.match(parseLogLine('open "\\303\\244\\\\n" flags READ mode 0666'), { name: 'ä\\n' });
  t.match(parseLogLine('open "\\377" flags READ mode 0666'), { name: '\\377' }, 'no text: as it stands');
});

t.test('hostile names: quotes, line ends, made-up lines; nothing disappears', async (t) => {
  t.match(parseLogLine('close "a" bytes read 1 written 2" bytes read 30 written 40'), {
    ...{ kind: 'close', name: 'a" bytes read 1 written 2', read: 30, written: 40 },
  });
  t.match(parseLogLine('close "a"\nclosedir "b" bytes read 7 written 0'), {
    kind: 'close',
    name: 'a"\nclosedir "b',
    read: 7,
  });
  t.match(parseLogLine('close "/cut off in the middle'), { kind: 'unclear' });
  t.match(parseLogLine('close "a" bytes read 1'), { kind: 'unclear' });
  t.match(
    parseLogLine('opendir "b" bytes read 7 written 0'),
    { kind: 'unclear' },
    'a line that tells of bytes is no noise',
  );
  // A line with CR LF in the middle comes as two. Whatever the name is, the bytes at its end are told of.
  fc.assert(
    fc.property(
      fc.array(
        fc.constantFrom(
          'a',
          '"',
          ' ',
          '\r\n',
          '\n',
          'close "',
          'closedir "',
          'opendir "',
          '" bytes read 0 written 0',
          'sent status No such file',
          'forced ',
          'set "',
          '" mode 0644',
        ),
        { maxLength: 12 },
      ),
      fc.integer({ min: 1, max: 2 ** 40 }),
      (parts, bytes) => {
        const lines = new LogLines().push(Buffer.from(`close "${parts.join('')}" bytes read ${bytes} written 0\r\n`));
        const parsed = lines.map(parseLogLine);
        const last = parsed.at(-1);
        if (last === undefined || (last.kind !== 'unclear' && !(last.kind === 'close' && last.read === bytes)))
          throw new Error(`${JSON.stringify(lines)} → ${JSON.stringify(parsed)}`);
      },
    ),
    { numRuns: 3000 },
  );
});

t.test('lines in any pieces; none longer than its bound', async (t) => {
  const bytes = Buffer.from('one\r\ntwo\nstill two\r\n\r\nfour');
  for (let cut = 0; cut <= bytes.length; cut++) {
    const lines = new LogLines();
    const got = [...lines.push(bytes.subarray(0, cut)), ...lines.push(bytes.subarray(cut)), ...lines.end()];
    t.strictSame(got, ['one', 'two\nstill two', '', 'four'], `cut at ${cut}`);
  }
  const lines = new LogLines();
  let longest = 0;
  for (let index = 0; index < 100; index++)
    for (const line of lines.push(Buffer.alloc(1000, 'x'))) longest = Math.max(longest, line.length);
  t.equal(longest, MAX_LOG_LINE);
});

t.test('from lines to records', async (t) => {
  const events: string[] = [];
  let left = 100;
  const record = ({ what, target, result }: FileEvent) => void events.push(`${what} ${result} ${target}`);
  const log = new TransferLog({ mayRecord: () => left-- > 0, record });
  const say = (...lines: string[]) => {
    events.length = 0;
    for (const line of lines) log.line(line);
    log.settle();
    return [...events];
  };
  t.same(say('open "/a" flags READ mode 0666', 'close "/a" bytes read 5 written 0'), ['file.download ok 5 bytes /a']);
  t.same(say('open "/a" flags WRITE,CREATE mode 0644', 'close "/a" bytes read 0 written 0'), [
    'file.upload ok 0 bytes /a',
  ]);
  t.same(say('open "/a" flags READ,WRITE mode 0644', 'close "/a" bytes read 3 written 4'), [
    'file.download ok 3 bytes /a',
    'file.upload ok 4 bytes /a',
  ]);
  t.same(say('open "/secret" flags READ mode 0666', 'sent status Permission denied'), [
    'file.open Permission denied /secret',
  ]);
  t.same(say('remove name "/a"', 'sent status No such file'), ['file.remove No such file /a']);
  t.same(say('lstat name "/a"', 'sent status No such file'), [], 'looking is not recorded');
  t.same(say('open "/b" flags READ mode 0666', 'forced close "/b" bytes read 9 written 0'), [
    'file.download cut 9 bytes /b',
  ]);
  t.same(say('Refusing non-allowlisted read request', 'sent status Permission denied'), [
    'file.refused Permission denied read',
  ]);
  t.same(say('what is this'), ['file.unclear ok what is this']);

  left = 1;
  say('open "/c" flags READ mode 0666');
  t.same(say('remove name "/1"', 'remove name "/2"', 'close "/c" bytes read 7 written 0'), ['file.remove ok /1']);
  events.length = 0;
  log.summarise();
  log.summarise();
  t.same(events, ['file.summarised ok 0 files up with 0 bytes, 1 files down with 7 bytes, 1 other records']);

  left = 100;
  say('open "/d" flags WRITE,CREATE mode 0644', 'open "/d" flags READ mode 0644');
  events.length = 0;
  log.end();
  t.same(events, ['file.upload cut some bytes /d', 'file.download cut some bytes /d'], 'killed with files open');
});

t.test('C7 a root folder is given away only as it was made', async (t) => {
  const fresh = { uid: 0, gid: 0, mode: 0o755 };
  t.ok(isFreshRoot(fresh, []));
  t.ok(isFreshRoot(fresh, ['lost+found']));
  t.ok(isFreshRoot({ ...fresh, mode: 0o2770 }, []), 'after a crash half way');
  t.notOk(isFreshRoot(fresh, ['data']));
  for (const changed of [{ uid: 1 }, { gid: 19_999 }, { mode: 0o700 }, { mode: 0o1777 }])
    t.notOk(isFreshRoot({ ...fresh, ...changed }, []), JSON.stringify(changed));
});
