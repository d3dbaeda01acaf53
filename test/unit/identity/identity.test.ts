import fc from 'fast-check';
import t from 'tap';
import { concatBytes, utf8 } from '../../../shared/bytes.ts';
import { openSshPublicKey } from '../../../shared/identity/fingerprint.ts';
import { statementBytes } from '../../../shared/identity/framing.ts';
import {
  decodeIdentitySecret,
  encodeIdentitySecret,
  generateIdentity,
  identityFromSeeds,
  proofHolds,
  wipeIdentity,
} from '../../../shared/identity/identity.ts';
import { portable } from '../../../shared/identity/portable.ts';
import { publicIdentitySchema, publicIdentityToJson } from '../../../shared/identity/public-identity.ts';
import { signStatement, signStatementNatively, verifyStatement } from '../../../shared/identity/statement.ts';

const alice = generateIdentity();
const mallory = generateIdentity();

t.test('an identity comes back from its stored form', async (t) => {
  const stored = encodeIdentitySecret(alice);
  t.equal(stored.length, 164);
  t.same(decodeIdentitySecret(stored), alice);
  t.same(identityFromSeeds(alice.secret).public, alice.public);
});

t.test('a stored identity with any damage is refused', async (t) => {
  const stored = encodeIdentitySecret(alice);
  for (let at = 0; at < stored.length; at += 2) {
    const damaged = stored.slice();
    damaged[at] = (damaged[at] ?? 0) ^ 0x40;
    t.throws(() => decodeIdentitySecret(damaged), { code: 'bad-data' }, `byte ${at}`);
  }
  t.throws(() => decodeIdentitySecret(stored.subarray(1)), { code: 'bad-data' });
  const mixed = concatBytes(stored.subarray(0, 36), encodeIdentitySecret(mallory).subarray(36));
  t.throws(() => decodeIdentitySecret(mixed), { code: 'bad-data' }, 'halves of two identities');
});

t.test('wiping leaves nothing of the secret', async (t) => {
  const copy = decodeIdentitySecret(encodeIdentitySecret(alice));
  wipeIdentity(copy);
  t.ok(Object.values(copy.secret).every((part: Uint8Array) => part.every((byte) => byte === 0)));
});

t.test('the JSON form round-trips', async (t) => {
  t.same(publicIdentitySchema.parse(publicIdentityToJson(alice.public)), alice.public);
});

t.test('the JSON form has one spelling, exact lengths and no more fields', async (t) => {
  const json = publicIdentityToJson(alice.public);
  const refused = {
    'a field more': { ...json, comment: 'x' },
    'a field less': { ed25519: json.ed25519, x25519: json.x25519, mlkem768: json.mlkem768 },
    'url alphabet': { ...json, ed25519: `-_${json.ed25519.slice(2)}` },
    'no padding': { ...json, ed25519: json.ed25519.slice(0, -1) },
    'white space': { ...json, ed25519: ` ${json.ed25519.slice(1)}` },
    'stray bits before the padding': { ...json, ed25519: `${json.ed25519.slice(0, -2)}B=` },
    'a byte less': { ...json, ed25519: alice.public.ed25519.slice(1).toBase64() },
    'small order': { ...json, ed25519: new Uint8Array(32).toBase64() },
    'not text': { ...json, x25519: 7 },
  };
  for (const [why, value] of Object.entries(refused)) t.notOk(publicIdentitySchema.safeParse(value).success, why);
});

t.test('wrapping keys that the identity did not sign are refused', async (t) => {
  const theirs = { ...alice.public, x25519: mallory.public.x25519, mlkem768: mallory.public.mlkem768 };
  t.notOk(proofHolds(theirs));
  t.notOk(publicIdentitySchema.safeParse(publicIdentityToJson(theirs)).success);
  const withTheirProof = { ...theirs, proof: mallory.public.proof };
  t.notOk(publicIdentitySchema.safeParse(publicIdentityToJson(withTheirProof)).success);
});

t.test('tweetnacl and node:crypto make the same identity of the same seeds', async (t) => {
  t.same(identityFromSeeds(alice.secret, portable).public, identityFromSeeds(alice.secret).public);
  t.ok(proofHolds(generateIdentity(portable).public));
});

t.test('B2: a statement holds for its signer, context and parts only', async (t) => {
  const parts = [utf8('a'), utf8('bc')];
  const signature = signStatement(alice, 'sign-in', parts);
  t.same(signStatementNatively(alice, 'sign-in', parts), signature);
  t.ok(verifyStatement(alice.public.ed25519, 'sign-in', parts, signature));
  t.notOk(verifyStatement(mallory.public.ed25519, 'sign-in', parts, signature));
  t.notOk(verifyStatement(alice.public.ed25519, 'enrol', parts, signature));
  t.notOk(verifyStatement(alice.public.ed25519, 'sign-in', [utf8('ab'), utf8('c')], signature));
  t.notOk(verifyStatement(alice.public.ed25519, 'sign-in', [utf8('abc')], signature));
  t.notOk(verifyStatement(alice.public.ed25519, 'sign-in', [...parts, new Uint8Array(0)], signature));
  t.throws(() => statementBytes('a\0b', []), RangeError);
});

t.test('no two statements have the same bytes', async (t) => {
  const parts = fc.array(fc.uint8Array({ maxLength: 5 }), { maxLength: 4 });
  fc.assert(
    fc.property(parts, parts, (a, b) => {
      const same = JSON.stringify(a.map((part) => [...part])) === JSON.stringify(b.map((part) => [...part]));
      t.equal(statementBytes('x', a).toHex() === statementBytes('x', b).toHex(), same);
    }),
  );
});

t.test('a comment cannot add a line to authorized_keys', async (t) => {
  t.throws(() => openSshPublicKey(alice.public.ed25519, 'me\nssh-ed25519 AAAA'), { code: 'bad-request' });
});
