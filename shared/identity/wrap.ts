/**
 * Wraps a small secret (a drive key) for one identity, so that only it can open it, now and once there are quantum
 * computers: an ephemeral X25519 agreement and an ML-KEM-768 encapsulation feed one key. X25519 is tweetnacl's, as a
 * browser does this too. Who wrapped is not proven by it; a statement or the channel does that where it matters.
 *
 *      0     1  version = 1
 *      1    32  X25519 ephemeral public key
 *     33  1088  ML-KEM-768 ciphertext
 *   1121     n  secret, encrypted with AES-256-GCM
 * 1121+n    16  tag
 *
 * input = ML-KEM secret ‖ X25519 secret (SP 800-56C: the approved one first)
 * salt  = SHA-256("vmc/1 wrap" NUL ‖ framed(version, context, recipient's Ed25519, X25519, ML-KEM-768 keys, ephemeral, ciphertext))
 * key   = HKDF(salt, input, "vmc/1 wrap key" NUL, 32), IV the same with "vmc/1 wrap iv", 12: a key seals one secret only.
 */
import { randomBytes } from 'node:crypto';
import { concatBytes, plainBytes, utf8, wipe } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import { open, seal } from './aead.ts';
import { agree, x25519FromSecret } from './curves.ts';
import { domain, framed } from './framing.ts';
import { expand, extract } from './hkdf.ts';
import { type Identity, type PublicIdentity, proofHolds } from './identity.ts';
import { SIZE, TAG_BYTES, x25519PublicKey } from './keys.ts';
import { mlKemEncapsulate, mlKemPair, sha256 } from './native.ts';

const VERSION = 1;
/** All that would be additional data is bound by the salt. */
const NOTHING = new Uint8Array(0);
const CIPHERTEXT_AT = 1 + SIZE.x25519;
const HEAD = CIPHERTEXT_AT + SIZE.mlkem768Ciphertext;

/** Bytes that a wrapped secret has more than the secret. */
export const WRAP_OVERHEAD = HEAD + TAG_BYTES;
/** The longest secret, in bytes: this is for keys, not for data. */
export const WRAP_MAX_SECRET = 4096;

/**
 * @param context what the secret is and belongs to ("drive 3f2a…"); `unwrap` needs the same.
 * @throws VmcError 'bad-data' for a recipient whose keys do not hold, 'bad-request' for a secret that is too long.
 */
export function wrapFor(recipient: PublicIdentity, secret: Uint8Array, context: string): Uint8Array {
  if (secret.length > WRAP_MAX_SECRET)
    throw new VmcError('bad-request', `At most ${WRAP_MAX_SECRET} bytes can be wrapped.`);
  if (!proofHolds(recipient))
    throw new VmcError('bad-data', 'The wrapping keys of the recipient are not signed by the recipient.');
  const ephemeral = plainBytes(randomBytes(SIZE.secret));
  const encapsulation = mlKemEncapsulate(recipient.mlkem768);
  const head = concatBytes(Uint8Array.of(VERSION), x25519FromSecret(ephemeral), encapsulation.ciphertext);
  const shared = agree(ephemeral, recipient.x25519);
  const { key, iv } = keysOf(recipient, context, head, encapsulation.sharedSecret, shared);
  const sealed = concatBytes(head, seal(key, iv, NOTHING, secret));
  for (const bytes of [ephemeral, key]) wipe(bytes);
  return sealed;
}

/** @throws VmcError 'bad-data' for bytes of another form, 'wrong-key' when it was wrapped for another or another context. */
export function unwrap(identity: Identity, wrapped: Uint8Array, context: string): Uint8Array {
  const length = wrapped.length - WRAP_OVERHEAD;
  if (length < 0 || length > WRAP_MAX_SECRET || wrapped[0] !== VERSION)
    throw new VmcError('bad-data', 'This is not a wrapped secret, or one of a version not known here.');
  const head = wrapped.subarray(0, HEAD);
  const kem = mlKemPair(identity.secret.mlkem768).decapsulate(head.subarray(CIPHERTEXT_AT));
  const shared = agree(identity.secret.x25519, x25519PublicKey(head.slice(1, CIPHERTEXT_AT)));
  const { key, iv } = keysOf(identity.public, context, head, kem, shared);
  const secret = open(key, iv, NOTHING, wrapped.subarray(HEAD));
  wipe(key);
  if (secret === undefined)
    throw new VmcError('wrong-key', 'The secret was wrapped for another identity or another use, or it is damaged.');
  return secret;
}

function keysOf(
  recipient: PublicIdentity,
  context: string,
  head: Uint8Array,
  kemSecret: Uint8Array,
  x25519Secret: Uint8Array,
): { key: Uint8Array; iv: Uint8Array } {
  const { ed25519, x25519, mlkem768 } = recipient;
  const bound = framed(
    head.subarray(0, 1),
    utf8(context),
    ed25519,
    x25519,
    mlkem768,
    head.subarray(1, CIPHERTEXT_AT),
    head.subarray(CIPHERTEXT_AT),
  );
  const input = concatBytes(kemSecret, x25519Secret);
  const prk = extract(sha256(domain('wrap'), bound), input);
  for (const bytes of [input, kemSecret, x25519Secret]) wipe(bytes);
  try {
    return { key: expand(prk, domain('wrap key'), 32), iv: expand(prk, domain('wrap iv'), 12) };
  } finally {
    wipe(prk);
  }
}
