/** The sealed backup of a LUKS header: opens for who made it, for its drive only, unchanged. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { openHeader, SEALED_HEADER_MAX, sealHeader } from '../../../connect/drive/header-envelope.ts';
import { HEADER_MAX_BYTES } from '../../../shared/api/drive-keys.ts';
import { decodeIdentitySecret, generateIdentity } from '../../../shared/identity/identity.ts';
import { SEALED_HEADER_MAX_BYTES } from '../../../shared/rest-api/drive-people.ts';
import vector from '../../vectors/drive-envelopes.json' with { type: 'json' };
import identities from '../../vectors/identity.json' with { type: 'json' };

const DRIVE = 'drv0123456789abcdef';
const owner = generateIdentity();
const header = new Uint8Array(randomBytes(5000));
const sealed = sealHeader(owner, DRIVE, { madeAt: 1_790_000_000_000, header });

t.test('it comes back, with its time', async (t) => {
  t.strictSame(openHeader(owner, DRIVE, sealed), { madeAt: 1_790_000_000_000, header });
  t.notOk(Buffer.from(sealed).includes(header.subarray(0, 16)));
  t.notSame(sealHeader(owner, DRIVE, { madeAt: 1_790_000_000_000, header }), sealed, 'a key of its own each time');
});

t.test('not for another drive, another person, or as made by another', async (t) => {
  const stranger = generateIdentity();
  t.throws(() => openHeader(owner, 'drv0123456789abcde0', sealed), { code: 'bad-data' });
  t.throws(() => openHeader(stranger, DRIVE, sealed), { code: 'bad-data' });
  const planted = sealHeader({ public: owner.public, secret: stranger.secret }, DRIVE, { madeAt: 1, header });
  t.throws(() => openHeader(owner, DRIVE, planted), { code: 'bad-data' });
});

t.test('every changed byte shows, and every cut', async (t) => {
  for (let i = 0; i < sealed.length; i += i < 1300 ? 13 : 257) {
    const changed = sealed.slice();
    changed[i] = (changed[i] as number) ^ 1;
    t.throws(() => openHeader(owner, DRIVE, changed), { code: 'bad-data' }, `byte ${i}`);
  }
  for (const n of [0, 1, 65, 73, 1254, 1270, sealed.length - 1])
    t.throws(() => openHeader(owner, DRIVE, sealed.subarray(0, n)), { code: 'bad-data' });
});

t.test('sizes are bounded, and the longest fits the backend', async (t) => {
  t.ok(SEALED_HEADER_MAX <= SEALED_HEADER_MAX_BYTES);
  for (const length of [0, HEADER_MAX_BYTES + 1])
    t.throws(() => sealHeader(owner, DRIVE, { madeAt: 1, header: new Uint8Array(length) }), { code: 'bad-data' });
});

t.test('what was sealed once still opens', async (t) => {
  const ada = decodeIdentitySecret(Uint8Array.fromHex(identities.secret));
  const { madeAt, bytes, sealed: stored } = vector.header;
  const opened = openHeader(ada, vector.driveId, Uint8Array.fromHex(stored));
  t.strictSame({ madeAt: opened.madeAt, bytes: opened.header.toHex() }, { madeAt, bytes });
});
