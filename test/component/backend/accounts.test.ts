import t from 'tap';
import { utf8 } from '../../../shared/bytes.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { signStatement } from '../../../shared/identity/statement.ts';
import { toBase64 } from '../../../shared/names.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { Fixture } from './fixture.ts';

const empty = { params: {}, body: {} };

t.test('B2: the first account by code, sign-in by signature, sign-out', async (t) => {
  const fixture = await Fixture.start(t);
  t.match(fixture.announced, [/^First account: connect claim --code [0-9a-f]{8}(-[0-9a-f]{8}){3}$/]);
  const alice = await fixture.firstPerson();
  const me = await alice.client.call(routes.me, empty);
  t.match(me, { name: 'alice', role: 'super-admin', userId: alice.userId });
  await alice.client.signOut();
  await t.rejects(alice.client.call(routes.me, empty), { code: 'unauthenticated' });
  await alice.client.signIn(alice.identity);
  t.equal((await alice.client.call(routes.userList, empty)).users.length, 1);
});

t.test('B2: a code works once, and only in time', async (t) => {
  const fixture = await Fixture.start(t);
  const code = fixture.announced.join().split(' --code ')[1] ?? '';
  const alice = await fixture.firstPerson();
  const stranger = fixture.client();
  await t.rejects(stranger.claim(generateIdentity(), 'mallory', code), { code: 'unauthenticated' });
  await t.rejects(stranger.claim(generateIdentity(), 'mallory', 'no-such-code-at-all'), { code: 'unauthenticated' });
  const invite = await alice.client.call(routes.userInvite, { params: {}, body: {} });
  fixture.skewMs = 24 * 3_600_000 + 1000;
  await t.rejects(stranger.claim(generateIdentity(), 'bob', invite.code), { code: 'unauthenticated', hint: /new one/ });
});

t.test('B2: a name or a key that is taken, and nobody invites above their own role', async (t) => {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const { code } = await alice.client.call(routes.userInvite, { params: {}, body: {} });
  const stranger = fixture.client();
  await t.rejects(stranger.claim(generateIdentity(), 'alice', code), { code: 'already-exists', message: /alice/ });
  await t.rejects(stranger.claim(alice.identity, 'alice2', code), { code: 'already-exists', message: /identity/ });
  await stranger.claim(generateIdentity(), 'bob', code); // a refused claim does not use up the code
  const admin = await fixture.invited(alice, 'carol', 'admin');
  await t.rejects(admin.client.call(routes.userInvite, { params: {}, body: { role: 'super-admin' } }), {
    code: 'forbidden',
  });
  const user = await fixture.invited(admin, 'dave');
  await t.rejects(user.client.call(routes.userInvite, { params: {}, body: {} }), { code: 'forbidden' });
  await t.rejects(user.client.call(routes.hostAdd, { params: {}, body: { name: 'h' } }), { code: 'forbidden' });
});

t.test('B2: replayed, expired, foreign and wrongly signed challenges', async (t) => {
  const fixture = await Fixture.start(t);
  const { identity } = await fixture.firstPerson();
  const stranger = fixture.client();
  const { ed25519 } = identity.public;
  const pin = utf8(fixture.backend.pin);
  const send = (challenge: Uint8Array, signature: Uint8Array) =>
    stranger.call(routes.signIn, {
      params: {},
      body: { ed25519: toBase64(ed25519), challenge: toBase64(challenge), signature: toBase64(signature) },
    });
  const sign = (challenge: Uint8Array, signer = identity, context = 'sign-in', to = pin) =>
    signStatement(signer, context, [challenge, ed25519, to]);
  const next = async () => (await stranger.call(routes.challenge, empty)).challenge;

  const once = await next();
  await send(once, sign(once));
  await t.rejects(send(once, sign(once)), { code: 'unauthenticated', message: /challenge/ }, 'replayed');
  const made = new Uint8Array(32);
  await t.rejects(send(made, sign(made)), { code: 'unauthenticated', message: /challenge/ }, 'never given out');
  const old = await next();
  fixture.skewMs = 60_000;
  await t.rejects(send(old, sign(old)), { code: 'unauthenticated', message: /challenge/ }, 'too old');
  for (const [what, wrong] of [
    ['somebody else', (c: Uint8Array) => sign(c, generateIdentity())],
    ['another purpose', (c: Uint8Array) => sign(c, identity, 'relay-park')],
    ['another backend', (c: Uint8Array) => sign(c, identity, 'sign-in', utf8('0'.repeat(64)))],
  ] as const) {
    const challenge = await next();
    await t.rejects(send(challenge, wrong(challenge)), { code: 'unauthenticated', message: /signature/ }, what);
  }
  await t.rejects(fixture.client().signIn(generateIdentity()), { code: 'unauthenticated', message: /no account/ });
});

t.test('B2: sessions end after their time', async (t) => {
  const fixture = await Fixture.start(t, { sessionHours: 1 });
  const alice = await fixture.firstPerson();
  fixture.skewMs = 3_600_001;
  await t.rejects(alice.client.call(routes.me, empty), { code: 'unauthenticated', hint: /Sign in/ });
});

t.test('accounts, sessions and the certificate outlive a restart; no second first code', async (t) => {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  const { pin } = fixture.backend;
  alice.client.close();
  await fixture.backend.close();
  await fixture.startBackend();
  t.equal(fixture.backend.pin, pin);
  t.equal(fixture.announced.length, 1);
  const again = fixture.client();
  t.equal((await again.signIn(alice.identity)).user.userId, alice.userId);
});
