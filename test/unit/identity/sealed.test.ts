import t from 'tap';
import { utf8 } from '../../../shared/bytes.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { readSealedPublic, sealIdentity, unsealIdentity } from '../../../shared/identity/sealed.ts';

const alice = generateIdentity();
const passphrase = utf8('correct horse');
const cheap = { n: 2 ** 14, r: 8, p: 1 };
const sealed = await sealIdentity(alice, passphrase, cheap);

t.test('a sealed identity opens with its passphrase, and shows whose it is without', async (t) => {
  t.same(await unsealIdentity(sealed, passphrase), alice);
  t.same(readSealedPublic(sealed), alice.public);
  t.notMatch(sealed, new RegExp(alice.secret.ed25519.toBase64().replaceAll(/[+/]/g, '.')));
});

t.test('the cost is 2^17 unless a test says otherwise', async (t) => {
  const strong = await sealIdentity(alice, passphrase);
  t.match(JSON.parse(strong), { kdf: { name: 'scrypt', n: 2 ** 17, r: 8, p: 1 } });
  t.same(await unsealIdentity(strong, passphrase), alice);
});

t.test('a wrong passphrase is told from a damaged file', async (t) => {
  await t.rejects(unsealIdentity(sealed, utf8('wrong')), { code: 'wrong-key' });
  for (let at = 0; at < sealed.length; at += 7) {
    const other = sealed[at] === 'A' ? 'B' : 'A';
    const damaged = sealed.slice(0, at) + other + sealed.slice(at + 1);
    if (/\s/.test(sealed[at] ?? '')) continue;
    await t.rejects(unsealIdentity(damaged, passphrase), { code: 'bad-data' }, `character ${at}`);
  }
  for (const text of ['', '{', '{}', 'null', sealed.slice(0, -20), ' '.repeat(20_000)])
    await t.rejects(unsealIdentity(text, passphrase), { code: 'bad-data' });
});

t.test('a hostile file cannot ask for all memory', async (t) => {
  const file = JSON.parse(sealed);
  for (const kdf of [
    { n: 2 ** 30 },
    { n: 0 },
    { n: 12_345 },
    { r: 1024 },
    { p: 1000 },
    { salt: 'A'.repeat(5000) },
    { name: 'x' },
  ]) {
    const hostile = JSON.stringify({ ...file, kdf: { ...file.kdf, ...kdf } });
    await t.rejects(unsealIdentity(hostile, passphrase), { code: 'bad-data' }, JSON.stringify(kdf).slice(0, 30));
  }
});

t.test('spacing and order of the JSON do not matter', async (t) => {
  const reordered = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(sealed)).reverse()));
  t.same(await unsealIdentity(reordered, passphrase), alice);
});
