import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { unwrap, WRAP_MAX_SECRET, WRAP_OVERHEAD, wrapFor } from '../../../shared/identity/wrap.ts';

const alice = generateIdentity();
const mallory = generateIdentity();
const key = new Uint8Array(randomBytes(32));

t.test('B2: a wrapped key opens for its recipient and context', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.string(), (secret, context) => {
      const wrapped = wrapFor(alice.public, secret, context);
      t.equal(wrapped.length, WRAP_OVERHEAD + secret.length);
      t.same(unwrap(alice, wrapped, context), secret);
    }),
    { numRuns: 10 },
  );
  t.same(
    unwrap(alice, wrapFor(alice.public, new Uint8Array(WRAP_MAX_SECRET), 'x'), 'x'),
    new Uint8Array(WRAP_MAX_SECRET),
  );
});

t.test('and for nobody and nothing else', async (t) => {
  const wrapped = wrapFor(alice.public, key, 'drive 1');
  t.throws(() => unwrap(alice, wrapped, 'drive 2'), { code: 'wrong-key' });
  t.throws(() => unwrap(mallory, wrapped, 'drive 1'), { code: 'wrong-key' });
  const sameWrappingKeys = { ...alice, public: { ...alice.public, ed25519: mallory.public.ed25519 } };
  t.throws(() => unwrap(sameWrappingKeys, wrapped, 'drive 1'), { code: 'wrong-key' });
});

t.test('the same key wrapped twice looks different everywhere', async (t) => {
  const [a, b] = [wrapFor(alice.public, key, 'x'), wrapFor(alice.public, key, 'x')];
  t.notSame(a.slice(1, 33), b.slice(1, 33));
  t.notSame(a.slice(33, 1121), b.slice(33, 1121));
  t.notSame(a.slice(1121), b.slice(1121));
});

t.test('any damage shows', async (t) => {
  const wrapped = wrapFor(alice.public, key, 'x');
  for (let at = 0; at < wrapped.length; at += at > 40 && at < 1110 ? 61 : 1) {
    const damaged = wrapped.slice();
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    t.throws(() => unwrap(alice, damaged, 'x'), { code: at === 0 ? 'bad-data' : 'wrong-key' }, `byte ${at}`);
  }
  t.throws(() => unwrap(alice, wrapped.subarray(0, -1), 'x'), { code: 'wrong-key' });
  t.throws(() => unwrap(alice, wrapped.subarray(0, WRAP_OVERHEAD - 1), 'x'), { code: 'bad-data' });
  t.throws(() => unwrap(alice, new Uint8Array(0), 'x'), { code: 'bad-data' });
});

t.test('nothing is wrapped for keys that somebody slipped in, nor what is no key', async (t) => {
  const slipped = { ...alice.public, mlkem768: mallory.public.mlkem768 };
  t.throws(() => wrapFor(slipped, key, 'x'), { code: 'bad-data' });
  t.throws(() => wrapFor(alice.public, new Uint8Array(WRAP_MAX_SECRET + 1), 'x'), { code: 'bad-request' });
});
