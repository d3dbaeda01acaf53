import { createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import nacl from 'tweetnacl';
import { concatBytes, equalBytes, utf8 } from '../../../shared/bytes.ts';
import { agree } from '../../../shared/identity/curves.ts';
import { expand, extract } from '../../../shared/identity/hkdf.ts';
import { generateIdentity, wipeIdentity } from '../../../shared/identity/identity.ts';
import { ed25519PublicKey, mlKemPublicKey, x25519PublicKey } from '../../../shared/identity/keys.ts';
import { native } from '../../../shared/identity/native.ts';
import { portable } from '../../../shared/identity/portable.ts';
import { IMPLEMENTATIONS } from '../channel/peers.ts';
import { NOT_ED25519_KEYS, SMALL_ORDER_ED25519, WEAK_X25519_KEYS } from '../channel/weak-keys.ts';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const some = { numRuns: 15 };

/** Group order of Ed25519, RFC 8032, 5.1. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

/** A signature with its S moved by n times L: the same point equation, other bytes. */
function moved(signature: Uint8Array, n: bigint): Uint8Array {
  const s = BigInt(`0x${signature.slice(32).reverse().toHex()}`) + n * L;
  return concatBytes(signature.subarray(0, 32), Uint8Array.fromHex(s.toString(16).padStart(64, '0')).reverse());
}

t.test('both agree on Ed25519', async () => {
  fc.assert(
    fc.property(bytes(32), fc.uint8Array({ maxLength: 300 }), (seed, message) => {
      const publicKey = portable.ed25519FromSeed(seed);
      const signature = portable.sign(message, seed, publicKey);
      return (
        equalBytes(native.ed25519FromSeed(seed), publicKey) &&
        equalBytes(native.sign(message, seed), signature) &&
        native.verify(message, publicKey, signature) &&
        portable.verify(message, publicKey, signature)
      );
    }),
    some,
  );
});

t.test('both say the same of every signature, sound, damaged or made up', async () => {
  const seed = bytes(32);
  const damage = fc.oneof(
    fc.constant((signature: Uint8Array) => signature),
    fc.record({ at: fc.nat({ max: 63 }), mask: fc.integer({ min: 1, max: 255 }) }).map(({ at, mask }) => {
      return (signature: Uint8Array) => signature.map((byte, i) => (i === at ? byte ^ mask : byte));
    }),
    fc.constantFrom(1n, 2n, 7n).map((n) => (signature: Uint8Array) => moved(signature, n)),
    fc
      .constantFrom(0, 63, 65)
      .map((length) => (signature: Uint8Array) => concatBytes(signature, signature).slice(0, length)),
    bytes(64).map((noise) => () => noise),
  );
  fc.assert(
    fc.property(seed, damage, fc.option(bytes(32)), (seed, change, otherKey) => {
      const message = utf8('message');
      const publicKey = native.ed25519FromSeed(seed);
      const signature = change(native.sign(message, seed));
      const signer = otherKey === null ? publicKey : asKey(otherKey);
      return (
        signer === undefined ||
        native.verify(message, signer, signature) === portable.verify(message, signer, signature)
      );
    }),
    { numRuns: 60 },
  );
});

function asKey(bytes: Uint8Array) {
  try {
    return ed25519PublicKey(bytes);
  } catch {
    return undefined; // both sides share this refusal
  }
}

t.test('both agree on X25519, for any 32 bytes that call themselves a key', async () => {
  fc.assert(
    fc.property(bytes(32), bytes(32), (ours, theirs) => {
      const peer = x25519PublicKey(theirs);
      const [a, b] = [native.x25519Pair(ours), portable.x25519Pair(ours)];
      return equalBytes(a.publicKey, b.publicKey) && equalBytes(a.agree(peer), b.agree(peer));
    }),
    some,
  );
});

t.test('both agree on ML-KEM-768: keys, what is encapsulated, and what garbage gives', async () => {
  fc.assert(
    fc.property(bytes(64), bytes(1088), (seed, garbage) => {
      const [a, b] = [native.mlKemPair(seed), portable.mlKemPair(seed)];
      const [toA, toB] = [portable.mlKemEncapsulate(a.publicKey), native.mlKemEncapsulate(b.publicKey)];
      return (
        equalBytes(a.publicKey, b.publicKey) &&
        equalBytes(a.decapsulate(toA.ciphertext), toA.sharedSecret) &&
        equalBytes(b.decapsulate(toB.ciphertext), toB.sharedSecret) &&
        equalBytes(a.decapsulate(garbage), b.decapsulate(garbage))
      );
    }),
    some,
  );
});

t.test('both agree on SHA-256, HMAC and AES-256-GCM', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array()), fc.uint8Array(), bytes(32), bytes(12), async (parts, text, key, iv) => {
      const message = concatBytes(...parts);
      const [a, b] = [native.aesGcm(key.slice()), await portable.aesGcm(key.slice())];
      const [one, two] = [a.seal(iv, text, message), await b.seal(iv, text, message)];
      const opened = [a.open(iv, text.length, one), await b.open(iv, text.length, one)];
      return (
        equalBytes(native.sha256(...parts), await portable.sha256(...parts)) &&
        equalBytes(native.hmac(text, message), await portable.hmac(text, message)) &&
        equalBytes(one, two) &&
        opened.every((bytes) => bytes !== undefined && equalBytes(bytes, message))
      );
    }),
    { numRuns: 30 },
  );
});

for (const [name, cryptography] of IMPLEMENTATIONS) {
  t.test(`X25519 refuses keys that force an all-zero secret, ${name}`, async (t) => {
    const pair = cryptography.x25519Pair(new Uint8Array(32).fill(9));
    for (const hex of WEAK_X25519_KEYS)
      t.throws(() => pair.agree(x25519PublicKey(Uint8Array.fromHex(hex))), { code: 'bad-data' }, hex);
  });

  t.test(`verifying refuses the other forms of a signature (S + L and so on), ${name}`, async (t) => {
    const { public: who, secret } = generateIdentity();
    const message = utf8('hello');
    const signature = native.sign(message, secret.ed25519);
    t.ok(cryptography.verify(message, who.ed25519, signature));
    for (const n of [1n, 2n, 7n]) t.notOk(cryptography.verify(message, who.ed25519, moved(signature, n)), `${n} L`);
    t.ok(nacl.sign.detached.verify(message, moved(signature, 1n), who.ed25519), 'the danger is real');
  });

  t.test(`verifying gives false, never an error, for nonsense, ${name}`, async () => {
    const { public: who } = generateIdentity();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), bytes(32), (signature, key) => {
        const other = asKey(key);
        return (
          !cryptography.verify(utf8('x'), who.ed25519, signature) &&
          (other === undefined || !cryptography.verify(utf8('x'), other, new Uint8Array(64)))
        );
      }),
      some,
    );
  });

  t.test(`ML-KEM-768 refuses keys out of range and ciphertexts of another length, ${name}`, async (t) => {
    const { public: who, secret } = generateIdentity();
    const pair = cryptography.mlKemPair(secret.mlkem768);
    const { ciphertext, sharedSecret } = cryptography.mlKemEncapsulate(who.mlkem768);
    t.same(pair.decapsulate(ciphertext), sharedSecret);
    for (const length of [0, 1087])
      t.throws(() => pair.decapsulate(ciphertext.subarray(0, length)), { code: 'bad-data' });
    t.throws(() => pair.decapsulate(concatBytes(ciphertext, Uint8Array.of(0))), { code: 'bad-data' });
    t.throws(() => cryptography.mlKemEncapsulate(mlKemPublicKey(new Uint8Array(1184).fill(255))), { code: 'bad-data' });
  });

  t.test(`AES-GCM opens nothing that was changed, ${name}`, async (t) => {
    const cipher = await cryptography.aesGcm(new Uint8Array(32).fill(1));
    const iv = new Uint8Array(12);
    const sealed = await cipher.seal(iv, utf8('head'), utf8('body'));
    t.equal(sealed.length, 4 + 4 + 16);
    for (let at = 0; at < sealed.length; at++)
      t.equal(
        await cipher.open(
          iv,
          4,
          sealed.map((byte, i) => (i === at ? byte ^ 1 : byte)),
        ),
        undefined,
      );
    for (let length = 0; length < sealed.length; length++)
      t.equal(await cipher.open(iv, 4, sealed.subarray(0, length)), undefined);
    t.same(await cipher.open(iv, 4, sealed), utf8('body'));
  });

  t.test(`random bytes are as many as asked for, and others each time, ${name}`, async (t) => {
    t.equal(cryptography.random(48).length, 48);
    t.notSame(cryptography.random(32), cryptography.random(32));
  });
}

t.test('a wiped identity signs no more with what it was', async (t) => {
  const identity = generateIdentity();
  const before = native.sign(utf8('x'), identity.secret.ed25519);
  wipeIdentity(identity);
  t.notSame(native.sign(utf8('x'), identity.secret.ed25519), before);
});

t.test('an Ed25519 key of small order, for which anyone can sign, is nobody’s', async (t) => {
  const forged = new Uint8Array(64);
  forged[0] = 1; // R = the neutral element, S = 0
  for (const hex of SMALL_ORDER_ED25519) {
    const key = Uint8Array.fromHex(hex);
    let forgeries = 0;
    for (let i = 0; i < 50 && forgeries === 0; i++)
      if (nacl.sign.detached.verify(utf8(`message ${i}`), forged, key)) forgeries++;
    t.ok(forgeries > 0, `the danger is real for ${hex}`);
  }
  for (const hex of NOT_ED25519_KEYS)
    t.throws(() => ed25519PublicKey(Uint8Array.fromHex(hex)), { code: 'bad-data' }, hex);
});

t.test('keys have exact lengths', async (t) => {
  for (const make of [ed25519PublicKey, x25519PublicKey, mlKemPublicKey])
    for (const length of [0, 31, 33, 1183, 1185])
      t.throws(() => make(new Uint8Array(length).fill(7)), { code: 'bad-data' });
});

t.test('X25519 of identities is the one of others (a key that OpenSSL made itself)', async (t) => {
  const { public: who, secret } = generateIdentity();
  const other = generateKeyPairSync('x25519');
  const raw = x25519PublicKey(new Uint8Array(other.publicKey.export({ format: 'raw-public' })));
  const ours = createPublicKey({ key: Buffer.from(who.x25519), format: 'raw-public', asymmetricKeyType: 'x25519' });
  t.same(agree(secret.x25519, raw), new Uint8Array(diffieHellman({ privateKey: other.privateKey, publicKey: ours })));
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
