import t from 'tap';
import { utf8 } from '../../../shared/bytes.ts';
import { fingerprint, openSshPublicKey } from '../../../shared/identity/fingerprint.ts';
import { decodeIdentitySecret, encodeIdentitySecret, identityFromSeeds } from '../../../shared/identity/identity.ts';
import { publicIdentitySchema, publicIdentityToJson } from '../../../shared/identity/public-identity.ts';
import { unsealIdentity } from '../../../shared/identity/sealed.ts';
import { signStatement } from '../../../shared/identity/statement.ts';
import { unwrap } from '../../../shared/identity/wrap.ts';
import vector from '../../vectors/identity.json' with { type: 'json' };

const hex = Uint8Array.fromHex;
const identity = identityFromSeeds({
  ed25519: hex(vector.seeds.ed25519),
  x25519: hex(vector.seeds.x25519),
  mlkem768: hex(vector.seeds.mlkem768),
});

t.test('an identity’s forms come out as written down', async (t) => {
  t.equal(encodeIdentitySecret(identity).toHex(), vector.secret);
  t.same(decodeIdentitySecret(hex(vector.secret)), identity);
  t.same(publicIdentityToJson(identity.public), vector.public);
  t.same(publicIdentitySchema.parse(vector.public), identity.public);
  t.equal(fingerprint(identity.public.ed25519), vector.fingerprint);
  t.equal(openSshPublicKey(identity.public.ed25519, 'alice'), vector.openSsh);
});

t.test('a statement’s signature comes out as written down', async (t) => {
  const { context, parts, signature } = vector.statement;
  const signed = signStatement(
    identity,
    context,
    parts.map((part) => hex(part)),
  );
  t.equal(signed.toHex(), signature);
});

t.test('what was wrapped and sealed once still opens', async (t) => {
  const { context, secret, bytes } = vector.wrapped;
  t.equal(unwrap(identity, hex(bytes), context).toHex(), secret);
  t.same(await unsealIdentity(vector.sealed.file, utf8(vector.sealed.passphrase)), identity);
});
