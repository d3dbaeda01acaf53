import { createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import nacl from 'tweetnacl';
import { equalBytes, utf8 } from '../../../shared/bytes.ts';
import { expand, extract } from '../../../shared/identity/hkdf.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { ed25519PublicKey, mlKemPublicKey, x25519PublicKey } from '../../../shared/identity/keys.ts';
import * as native from '../../../shared/identity/native.ts';
import * as portable from '../../../shared/identity/portable.ts';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const some = { numRuns: 15 };

/** Group order of Ed25519, RFC 8032, 5.1. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

t.test('tweetnacl and node:crypto agree on Ed25519', async (t) => {
  fc.assert(
    fc.property(bytes(32), fc.uint8Array({ maxLength: 300 }), (seed, message) => {
      const publicKey = portable.ed25519FromSeed(seed);
      const signature = portable.sign(message, seed, publicKey);
      t.same(native.sign(message, seed), signature);
      t.ok(native.verify(message, publicKey, signature));
      t.ok(nacl.sign.detached.verify(message, signature, publicKey));
    }),
    some,
  );
});

t.test('tweetnacl and node:crypto agree on X25519', async (t) => {
  fc.assert(
    fc.property(bytes(32), bytes(32), (ours, theirs) => {
      t.same(native.x25519FromSecret(ours), portable.x25519FromSecret(ours));
      const peer = native.x25519FromSecret(theirs);
      t.same(native.agree(ours, peer), portable.agree(ours, peer));
      t.same(native.agree(theirs, native.x25519FromSecret(ours)), portable.agree(ours, peer));
    }),
    some,
  );
});

t.test('X25519 refuses keys that force an all-zero secret, both ways', async (t) => {
  const secret = new Uint8Array(32).fill(9);
  // RFC 7748, 6.1, and the points of small order in the public list of cr.yp.to/ecdh.html
  for (const hex of [
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    `ec${'ff'.repeat(30)}7f`,
    `ed${'ff'.repeat(30)}7f`,
    `ee${'ff'.repeat(30)}7f`,
  ]) {
    const peer = x25519PublicKey(Uint8Array.fromHex(hex));
    t.throws(() => native.agree(secret, peer), { code: 'bad-data' }, hex);
    t.throws(() => portable.agree(secret, peer), { code: 'bad-data' }, hex);
  }
});

t.test('an Ed25519 key of small order, for which anyone can sign, is nobody’s', async (t) => {
  const forged = new Uint8Array(64);
  forged[0] = 1; // R = the neutral element, S = 0
  for (const hex of [
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    `01${'00'.repeat(30)}80`,
    `ec${'ff'.repeat(30)}7f`,
    `ed${'ff'.repeat(30)}7f`,
    `ee${'ff'.repeat(30)}7f`,
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  ]) {
    const key = Uint8Array.fromHex(hex);
    let forgeries = 0;
    for (let i = 0; i < 100 && forgeries === 0; i++)
      if (nacl.sign.detached.verify(utf8(`message ${i}`), forged, key)) forgeries++;
    t.ok(forgeries > 0, `the danger is real for ${hex}`);
    t.throws(() => ed25519PublicKey(key), { code: 'bad-data' });
  }
});

t.test('verifying refuses the second form of a signature (S + L), which tweetnacl lets pass', async (t) => {
  const { public: who, secret } = generateIdentity();
  const message = utf8('hello');
  const signature = native.sign(message, secret.ed25519);
  const other = signature.slice();
  let s = BigInt(`0x${signature.slice(32).reverse().toHex()}`) + L;
  for (let i = 32; i < 64; i++, s >>= 8n) other[i] = Number(s & 255n);
  t.ok(nacl.sign.detached.verify(message, other, who.ed25519));
  t.notOk(native.verify(message, who.ed25519, other));
});

t.test('verifying gives false, never an error, for nonsense', async (t) => {
  const { public: who } = generateIdentity();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), bytes(32), (signature, key) => {
      t.notOk(native.verify(utf8('x'), who.ed25519, signature));
      t.notOk(native.verify(utf8('x'), ed25519PublicKey(key), new Uint8Array(64)));
    }),
  );
});

t.test('keys have exact lengths', async (t) => {
  for (const make of [ed25519PublicKey, x25519PublicKey, mlKemPublicKey])
    for (const length of [0, 31, 33, 1183, 1185])
      t.throws(() => make(new Uint8Array(length).fill(7)), { code: 'bad-data' });
});

t.test('ML-KEM-768: what is encapsulated comes out; keys out of range and short ciphertexts are refused', async (t) => {
  const { public: who, secret } = generateIdentity();
  const { ciphertext, sharedSecret } = native.mlKemEncapsulate(who.mlkem768);
  t.same(native.mlKemDecapsulate(secret.mlkem768, ciphertext), sharedSecret);
  ciphertext[5] = (ciphertext[5] ?? 0) ^ 1;
  t.notOk(equalBytes(native.mlKemDecapsulate(secret.mlkem768, ciphertext), sharedSecret));
  t.throws(() => native.mlKemEncapsulate(mlKemPublicKey(new Uint8Array(1184).fill(255))), { code: 'bad-data' });
  t.throws(() => native.mlKemDecapsulate(secret.mlkem768, ciphertext.subarray(1)), { code: 'bad-data' });
});

t.test('X25519 of identities is the one of others (a key that OpenSSL made itself)', async (t) => {
  const { public: who, secret } = generateIdentity();
  const other = generateKeyPairSync('x25519');
  const raw = x25519PublicKey(new Uint8Array(other.publicKey.export({ format: 'raw-public' })));
  const ours = createPublicKey({ key: Buffer.from(who.x25519), format: 'raw-public', asymmetricKeyType: 'x25519' });
  t.same(
    portable.agree(secret.x25519, raw),
    new Uint8Array(diffieHellman({ privateKey: other.privateKey, publicKey: ours })),
  );
});

t.test('HKDF: RFC 5869, A.1 and A.3', async (t) => {
  const input = new Uint8Array(22).fill(0x0b);
  const prk = extract(Uint8Array.fromHex('000102030405060708090a0b0c'), input);
  t.equal(prk.toHex(), '077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5');
  t.equal(
    expand(prk, Uint8Array.fromHex('f0f1f2f3f4f5f6f7f8f9'), 32).toHex(),
    '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf',
  );
  const unsalted = extract(new Uint8Array(0), input);
  t.equal(unsalted.toHex(), '19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04');
  t.equal(expand(unsalted, new Uint8Array(0), 12).toHex(), '8da4e775a563c18f715f802a');
  t.throws(() => expand(prk, new Uint8Array(0), 33), RangeError);
});
