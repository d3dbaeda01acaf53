/** A drive's key at the backend: opens for its owner only, for its drive only, and only if the owner stored it. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { openDriveKey, sealDriveKey } from '../../../connect/drive/key-envelope.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { wrapFor } from '../../../shared/identity/wrap.ts';

const DRIVE = 'drv0123456789abcdef';
const owner = generateIdentity();
const key = new Uint8Array(randomBytes(32));
const sealed = sealDriveKey(owner, DRIVE, key);

t.test('the key comes back', async (t) => {
  t.strictSame(openDriveKey(owner, DRIVE, sealed), key);
  t.ok(sealed.length <= 4096, 'fits the backend');
  t.notOk(Buffer.from(sealed).includes(key));
});

t.test('not for another drive, not for another person', async (t) => {
  t.throws(() => openDriveKey(owner, 'drv0123456789abcde0', sealed), { code: 'bad-data' });
  t.throws(() => openDriveKey(generateIdentity(), DRIVE, sealed), { code: 'bad-data' });
});

t.test('a key that the backend planted is refused, though it is wrapped to the right person', async (t) => {
  const backend = generateIdentity();
  const planted = sealDriveKey({ public: owner.public, secret: backend.secret }, DRIVE, new Uint8Array(32));
  t.throws(() => openDriveKey(owner, DRIVE, planted), { code: 'bad-data', message: /not stored by you/ });
  t.throws(() => openDriveKey(owner, DRIVE, wrapFor(owner.public, key, `drive ${DRIVE}`)), { code: 'bad-data' });
});

t.test('every changed byte shows, and every cut', async (t) => {
  for (let i = 0; i < sealed.length; i += 7) {
    const changed = sealed.slice();
    changed[i] = (changed[i] as number) ^ 1;
    t.throws(() => openDriveKey(owner, DRIVE, changed), `byte ${i}`);
  }
  for (const n of [0, 1, 64, 65, sealed.length - 1]) t.throws(() => openDriveKey(owner, DRIVE, sealed.subarray(0, n)));
});
