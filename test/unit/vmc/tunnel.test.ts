import fc from 'fast-check';
import t from 'tap';
import { Grants } from '../../../vmc/tunnel/grants.ts';
import { MAX_HEAD_BYTES, parseConnect, refusal } from '../../../vmc/tunnel/parse-connect.ts';

const parse = (text: string) => parseConnect(Buffer.from(text, 'latin1'));

t.test('C5 CONNECT, and nothing but CONNECT', async (t) => {
  t.same(parse('CONNECT localhost:3389 HTTP/1.1\r\n\r\n'), { kind: 'connect', port: 3389, headBytes: 35 });
  t.match(parse('CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/8\r\n\r\nearly'), {
    kind: 'connect',
    port: 1,
  });
  t.same(parse(''), { kind: 'more' });
  t.same(parse('CONN'), { kind: 'more' });
  t.same(parse('CONNECT localhost:3389 HTTP/1.1\r\n'), { kind: 'more' });
  const wrong: [string, number][] = [
    ['GET / HTTP/1.1\r\n\r\n', 405],
    ['connect localhost:1 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT localhost:1 HTTP/1.0\r\n\r\n', 400],
    ['CONNECT localhost:1 HTTP/2\r\n\r\n', 400],
    ['CONNECT  localhost:1 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT localhost HTTP/1.1\r\n\r\n', 400],
    ['CONNECT localhost:0 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT localhost:65536 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT localhost:1:2 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT [::1]:1 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT localhost:1 HTTP/1.1\r\nno colon\r\n\r\n', 400],
    ['CONNECT localhost:1 HTTP/1.1\r\n folded: x\r\n\r\n', 400],
    ['CONNECT localhost:1 HTTP/1.1\r\nX: a\0b\r\n\r\n', 400],
    ['CONNECT localhost:1 HTTP/1.1\n\n\r\n\r\n', 400],
    ['CONNECT 10.0.0.1:22 HTTP/1.1\r\n\r\n', 403],
    ['CONNECT localhost.evil:22 HTTP/1.1\r\n\r\n', 403],
    ['SSH-2.0-OpenSSH_9\r\n', 400],
    [`CONNECT ${'x'.repeat(MAX_HEAD_BYTES)}`, 431],
  ];
  for (const [text, status] of wrong)
    t.match(parse(text), { kind: 'wrong', status }, JSON.stringify(text.slice(0, 60)));
  t.match(refusal(403, 'no'), /^HTTP\/1\.1 403 no\r\n[\s\S]*\r\n\r\nno\n$/);
});

t.test('any bytes in any pieces: an answer, never a throw, and never more kept than the limit', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: MAX_HEAD_BYTES + 100 }), (bytes) => {
      const { kind } = parseConnect(bytes);
      return kind !== 'more' || bytes.length < MAX_HEAD_BYTES;
    }),
  );
});

t.test('grants: own, bounded, renewed, expiring, cut at the end', async (t) => {
  let time = 1000;
  const grants = new Grants({ lifetimeMs: 5000, maxGrantsPerPerson: 2, maxStreamsPerGrant: 1 }, () => time);
  t.teardown(() => grants.closeAll());
  const grant = grants.open('a', 'ann');
  t.equal(grant.expiresAt, 6000);
  t.throws(() => grants.open('a', 'bob'), { code: 'already-exists' });
  grants.open('b', 'ann');
  t.throws(() => grants.open('c', 'ann'), { code: 'limit' });
  time = 3000;
  t.equal(grants.open('a', 'ann').expiresAt, 8000, 'renewed');
  let cut = 0;
  const stream = { destroy: () => cut++ };
  t.equal(grants.addStream(grant, stream), true);
  t.equal(grants.addStream(grant, { destroy: () => {} }), false);
  t.throws(() => grants.close('a', 'bob'), { code: 'not-found' });
  t.equal(cut, 0);
  t.equal(grants.close('a', 'ann'), 1);
  t.equal(cut, 1);
  t.equal(grants.find('a'), undefined);
  t.equal(grants.addStream(grant, stream), false, 'an ended grant takes no stream');
  time = 6001;
  t.equal(grants.find('b'), undefined, 'expired, whatever the timer does');
});
