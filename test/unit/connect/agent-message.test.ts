/** C6: the agent signs a request to sign in to one account by one key, and nothing that differs from it in any place. */
import t from 'tap';
import { type AgentKey, isUserAuth, readAgentRequest } from '../../../connect/sftp/agent-message.ts';
import { utf8 } from '../../../shared/bytes.ts';
import { framed, statementBytes } from '../../../shared/identity/framing.ts';

const blob = framed(utf8('ssh-ed25519'), new Uint8Array(32).fill(7));
const key: AgentKey = { blob, user: 'owner' };

function request({
  id = new Uint8Array(32).fill(1),
  type = 50,
  user = 'owner',
  service = 'ssh-connection',
  method = 'publickey',
  has = 1,
  algorithm = 'ssh-ed25519',
  offered = blob,
  tail = '',
} = {}) {
  return new Uint8Array(
    Buffer.concat([
      framed(id),
      Uint8Array.of(type),
      framed(utf8(user), utf8(service), utf8(method)),
      Uint8Array.of(has),
      framed(utf8(algorithm), offered),
      utf8(tail),
    ]),
  );
}
const signRequest = (data: Uint8Array, { offered = blob, flags = 0, tail = '' } = {}) =>
  new Uint8Array(Buffer.concat([Uint8Array.of(13), framed(offered, data), Uint8Array.of(0, 0, 0, flags), utf8(tail)]));

t.test('a request to sign in, after each hash that a key exchange may use', async (t) => {
  for (const bytes of [32, 48, 64]) t.ok(isUserAuth(request({ id: new Uint8Array(bytes) }), key));
  t.match(readAgentRequest(signRequest(request()), key), { kind: 'sign' });
  t.strictSame(readAgentRequest(Uint8Array.of(11), key), { kind: 'identities' });
});

t.test('every field counts', async (t) => {
  const other = framed(utf8('ssh-ed25519'), new Uint8Array(32).fill(8));
  for (const [what, data] of Object.entries({
    'a short session identifier': request({ id: new Uint8Array(20) }),
    none: request({ id: new Uint8Array(0) }),
    'another message': request({ type: 51 }),
    'another user': request({ user: 'root' }),
    'another service': request({ service: 'ssh-userauth' }),
    'another method': request({ method: 'hostbased' }),
    'no signature asked for': request({ has: 0 }),
    'another algorithm': request({ algorithm: 'rsa-sha2-256' }),
    'another key': request({ offered: other }),
    'something behind it': request({ tail: 'x' }),
    'a signature of a file': utf8('SSHSIG\0\0\0\x04file'),
    'a statement of ours': statementBytes('sign-in', [new Uint8Array(32), blob]),
    nothing: new Uint8Array(0),
  })) {
    t.notOk(isUserAuth(data, key), what);
    t.strictSame(readAgentRequest(signRequest(data), key), { kind: 'refused' }, what);
  }
  t.strictSame(readAgentRequest(signRequest(request(), { offered: other }), key), { kind: 'refused' });
  t.strictSame(readAgentRequest(signRequest(request(), { flags: 2 }), key), { kind: 'refused' });
  t.strictSame(readAgentRequest(signRequest(request(), { tail: 'x' }), key), { kind: 'refused' });
  for (const type of [0, 1, 17, 18, 19, 22, 25, 27])
    t.strictSame(readAgentRequest(Uint8Array.of(type), key), { kind: 'refused' });
  t.strictSame(readAgentRequest(new Uint8Array(0), key), { kind: 'refused' });
});

t.test('cut anywhere, or any one byte changed outside of the session identifier: refused', async (t) => {
  const whole = request();
  for (let end = 0; end < whole.length; end++) t.notOk(isUserAuth(whole.subarray(0, end), key), `${end}`);
  for (let at = 0; at < whole.length; at++) {
    if (at >= 4 && at < 36) continue;
    const changed = whole.slice();
    changed[at] = (changed[at] as number) ^ 1;
    t.notOk(isUserAuth(changed, key), `byte ${at}`);
  }
});
