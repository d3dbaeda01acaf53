/** A drive's key at the backend: opens for whom it was wrapped only, for its drive only, and only if the owner signed it. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import {
  openDriveKey,
  openNextDriveKey,
  openSharedDriveKey,
  sealDriveKey,
  sealNextDriveKey,
  sealSharedDriveKey,
} from '../../../connect/drive/key-envelope.ts';
import { decodeIdentitySecret, generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import { wrapFor } from '../../../shared/identity/wrap.ts';
import vector from '../../vectors/drive-envelopes.json' with { type: 'json' };
import identities from '../../vectors/identity.json' with { type: 'json' };

const DRIVE = 'drv0123456789abcdef';
const OTHER = 'drv0123456789abcde0';
const owner = generateIdentity();
const bob = generateIdentity();
const key = new Uint8Array(randomBytes(32));
const later = new Uint8Array(randomBytes(32));
const sealed = sealDriveKey(owner, DRIVE, key);
const shared = sealSharedDriveKey(owner, bob.public, DRIVE, key);
const next = sealNextDriveKey(owner, DRIVE, sealed, later);
const ownerKey = owner.public.ed25519;

const forms = [
  { name: 'own', envelope: sealed, open: (it: Uint8Array) => openDriveKey(owner, DRIVE, it), key },
  { name: 'shared', envelope: shared, open: (it: Uint8Array) => openSharedDriveKey(bob, ownerKey, DRIVE, it), key },
  { name: 'next', envelope: next, open: (it: Uint8Array) => openNextDriveKey(owner, DRIVE, sealed, it), key: later },
];

for (const form of forms) {
  t.test(`${form.name}: the key comes back`, async (t) => {
    t.strictSame(form.open(form.envelope), form.key);
    t.ok(form.envelope.length <= 4096, 'fits the backend');
    t.notOk(Buffer.from(form.envelope).includes(form.key));
  });

  t.test(`${form.name}: every changed byte shows, and every cut`, async (t) => {
    for (let i = 0; i < form.envelope.length; i += 7) {
      const changed = form.envelope.slice();
      changed[i] = (changed[i] as number) ^ 1;
      t.throws(() => form.open(changed), `byte ${i}`);
    }
    for (const n of [0, 1, 64, 65, 97, form.envelope.length - 1])
      t.throws(() => form.open(form.envelope.subarray(0, n)));
  });

  t.test(`${form.name}: passes for no other form`, async (t) => {
    // A next key takes the place of the owner's own.
    for (const other of forms.filter((it) => it !== form && !(form.name === 'own' && it.name === 'next')))
      t.throws(() => form.open(other.envelope), { code: 'bad-data' }, other.name);
    for (const version of [0, 1, 2, 3, 4].filter((it) => it !== form.envelope[0])) {
      const renamed = form.envelope.slice();
      renamed[0] = version;
      for (const { open } of forms) t.throws(() => open(renamed), { code: 'bad-data' });
    }
  });
}

t.test('not for another drive, not for another person', async (t) => {
  t.throws(() => openDriveKey(owner, OTHER, sealed), { code: 'bad-data' });
  t.throws(() => openDriveKey(bob, DRIVE, sealed), { code: 'bad-data' });
  t.throws(() => openSharedDriveKey(bob, ownerKey, OTHER, shared), { code: 'bad-data' });
  t.throws(() => openSharedDriveKey(generateIdentity(), ownerKey, DRIVE, shared), { code: 'bad-data' });
  t.throws(() => openNextDriveKey(owner, OTHER, sealed, next), { code: 'bad-data' });
});

t.test('a key that the backend planted is refused, though it is wrapped to the right person', async (t) => {
  const backend = generateIdentity();
  /** Signs with the backend's key, wraps to the victim's. */
  const asIf = (who: Identity): Identity => ({ public: who.public, secret: backend.secret });
  const planted = sealDriveKey(asIf(owner), DRIVE, new Uint8Array(32));
  t.throws(() => openDriveKey(owner, DRIVE, planted), { code: 'bad-data', message: /not stored by you/ });
  t.throws(() => openDriveKey(owner, DRIVE, wrapFor(owner.public, key, `drive ${DRIVE}`)), { code: 'bad-data' });
  const shared = sealSharedDriveKey(backend, bob.public, DRIVE, new Uint8Array(32));
  t.throws(() => openSharedDriveKey(bob, ownerKey, DRIVE, shared), { code: 'bad-data', message: /not signed by/ });
  const next = sealNextDriveKey(asIf(owner), DRIVE, sealed, new Uint8Array(32));
  t.throws(() => openNextDriveKey(owner, DRIVE, sealed, next), { code: 'bad-data' });
});

t.test(
  'a next key follows one key only, and is a present key like any other once it has taken its place',
  async (t) => {
    t.strictSame(openDriveKey(owner, DRIVE, next), later);
    const third = sealNextDriveKey(owner, DRIVE, next, key);
    t.strictSame(openNextDriveKey(owner, DRIVE, next, third), key);
    // What the backend still has from before: neither the first key nor a change from long ago passes for the next one.
    for (const old of [sealed, next]) t.throws(() => openNextDriveKey(owner, DRIVE, third, old), { code: 'bad-data' });
  },
);

t.test('wrapping keys that their owner did not sign get nothing', async (t) => {
  const swapped = { ...bob.public, x25519: generateIdentity().public.x25519 };
  t.throws(() => sealSharedDriveKey(owner, swapped, DRIVE, key), { code: 'bad-data' });
});

t.test('what was sealed once still opens', async (t) => {
  const hex = Uint8Array.fromHex;
  const ada = decodeIdentitySecret(hex(identities.secret));
  const recipient = decodeIdentitySecret(hex(vector.recipient));
  const { driveId } = vector;
  t.equal(openDriveKey(ada, driveId, hex(vector.own)).toHex(), vector.key);
  t.equal(openSharedDriveKey(recipient, ada.public.ed25519, driveId, hex(vector.shared)).toHex(), vector.key);
  t.equal(openNextDriveKey(ada, driveId, hex(vector.own), hex(vector.next)).toHex(), vector.nextKey);
  t.strictSame(
    [vector.own, vector.shared, vector.next].map((it) => it.length / 2),
    [1234, 1234, 1266],
  );
});
