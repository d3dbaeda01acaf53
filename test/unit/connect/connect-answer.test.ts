/** The answer to CONNECT: any split gives the same, and nothing beyond the bounds is kept. */
import fc from 'fast-check';
import t from 'tap';
import { MAX_HEAD_BYTES, parseConnectAnswer } from '../../../connect/tunnel/connect-answer.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

t.test('an open stream: what follows the head is the stream', async (t) => {
  const answer = parseConnectAnswer(bytes('HTTP/1.1 200 Connected\r\n\r\nSSH-2.0-x'));
  t.strictSame(answer, { kind: 'open', headBytes: 26 });
});

t.test('a refusal has its status and reason', async (t) => {
  const text = 'HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\nConnection: close\r\n\r\nnot port\n';
  t.strictSame(parseConnectAnswer(bytes(text)), { kind: 'refused', status: 403, reason: 'not port' });
  t.strictSame(parseConnectAnswer(bytes(text.slice(0, -1))), { kind: 'more' });
  t.strictSame(parseConnectAnswer(bytes(text.slice(0, -1)), true), {
    kind: 'refused',
    status: 403,
    reason: 'not port',
  });
});

t.test('a reason is cut at its bound', async (t) => {
  const answer = parseConnectAnswer(bytes(`HTTP/1.1 502 x\r\ncontent-length: 999999\r\n\r\n${'a'.repeat(5000)}`));
  t.equal(answer.kind === 'refused' && answer.reason.length, 1024);
});

t.test('what is not the answer of a tunnel is malformed', async (t) => {
  for (const text of [
    'SSH-2.0-OpenSSH\r\n\r\n',
    'HTTP/1.0 200 OK\r\n\r\n',
    'HTTP/1.1 100 Continue\r\n\r\n',
    '\r\n\r\n',
  ])
    t.equal(parseConnectAnswer(bytes(text)).kind, 'malformed', JSON.stringify(text));
  t.equal(parseConnectAnswer(bytes('HTTP/1.1 2'), true).kind, 'malformed', 'ended early');
  t.equal(parseConnectAnswer(bytes(''), true).kind, 'malformed');
  t.equal(parseConnectAnswer(new Uint8Array(MAX_HEAD_BYTES).fill(0x41)).kind, 'malformed', 'no end of the head');
});

t.test('every prefix of an answer asks for more', async () => {
  const text = 'HTTP/1.1 200 OK\r\nX: y\r\n\r\n';
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: text.length - 1 }),
      (n) => parseConnectAnswer(bytes(text.slice(0, n))).kind === 'more',
    ),
  );
});
