/**
 * An identity at rest, sealed with a passphrase: a JSON file with scrypt (RFC 7914) and AES-256-GCM. Everything but the
 * ciphertext is authenticated with it. A checksum tells a damaged file from a wrong passphrase.
 */
import { randomBytes, scrypt } from 'node:crypto';
import * as z from 'zod';
import { equalBytes, plainBytes, utf8, wipe } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import { open, seal } from './aead.ts';
import { decodeIdentitySecret, encodeIdentitySecret, type Identity, type PublicIdentity } from './identity.ts';
import { TAG_BYTES } from './keys.ts';
import { sha256 } from './native.ts';
import { publicIdentitySchema, publicIdentityToJson } from './public-identity.ts';

/** 128 MiB and about a third of a second: guessing costs as much for each guess. */
const COST = { n: 2 ** 17, r: 8, p: 1 };

// Bounds before anything is computed: a file must not be able to ask for all memory.
const base64 = z
  .string()
  .max(1024)
  .regex(/^[A-Za-z0-9+/]*={0,2}$/);
const headerSchema = z.strictObject({
  format: z.literal('vmc-identity'),
  version: z.literal(1),
  public: z.unknown(),
  kdf: z.strictObject({
    name: z.literal('scrypt'),
    n: z.literal([2 ** 14, 2 ** 15, 2 ** 16, 2 ** 17, 2 ** 18]),
    r: z.literal(8),
    p: z.int().min(1).max(4),
    salt: base64,
  }),
  cipher: z.strictObject({ name: z.literal('aes-256-gcm'), iv: base64 }),
});
const fileSchema = headerSchema.extend({ sealed: base64, checksum: base64 });
type Header = z.infer<typeof headerSchema>;

/** The header as one text, whatever the file's own spacing and order. */
function headerBytes({ format, version, public: who, kdf, cipher }: Header): Uint8Array {
  const parts = [
    format,
    version,
    publicIdentitySchema.parse(who),
    kdf.name,
    kdf.n,
    kdf.r,
    kdf.p,
    kdf.salt,
    cipher.name,
    cipher.iv,
  ];
  return utf8(JSON.stringify(parts.map((part) => (typeof part === 'object' ? publicIdentityToJson(part) : part))));
}

function deriveKey(passphrase: Uint8Array, { n, r, p, salt }: Header['kdf']): Promise<Uint8Array> {
  const options = { N: n, r, p, maxmem: 256 * n * r };
  return new Promise((resolve, reject) =>
    scrypt(passphrase, Uint8Array.fromBase64(salt), 32, options, (error, key) =>
      error === null ? resolve(plainBytes(key)) : reject(error),
    ),
  );
}

/** @param cost only for tests, which cannot spend a third of a second each time. */
export async function sealIdentity(identity: Identity, passphrase: Uint8Array, cost = COST): Promise<string> {
  const header: Header = {
    format: 'vmc-identity',
    version: 1,
    public: publicIdentityToJson(identity.public),
    kdf: headerSchema.shape.kdf.parse({ name: 'scrypt', ...cost, salt: randomBytes(32).toString('base64') }),
    cipher: { name: 'aes-256-gcm', iv: randomBytes(12).toString('base64') },
  };
  const key = await deriveKey(passphrase, header.kdf);
  const secret = encodeIdentitySecret(identity);
  try {
    const aad = headerBytes(header);
    const sealed = seal(key, Uint8Array.fromBase64(header.cipher.iv), aad, secret);
    const file = { ...header, sealed: sealed.toBase64(), checksum: sha256(aad, sealed).toBase64() };
    return `${JSON.stringify(file, undefined, 2)}\n`;
  } finally {
    wipe(key);
    wipe(secret);
  }
}

interface SealedFile {
  header: Header;
  aad: Uint8Array;
  who: PublicIdentity;
  sealed: Uint8Array;
}

function readSealed(text: string): SealedFile {
  try {
    if (text.length > 16_384) throw new RangeError('too long');
    const { sealed: sealedText, checksum, ...header } = fileSchema.parse(JSON.parse(text));
    const sealed = Uint8Array.fromBase64(sealedText, { lastChunkHandling: 'strict' });
    const aad = headerBytes(header);
    if (sealed.length <= TAG_BYTES) throw new RangeError('too short');
    if (Uint8Array.fromBase64(header.kdf.salt).length !== 32 || Uint8Array.fromBase64(header.cipher.iv).length !== 12)
      throw new RangeError('wrong length of salt or IV');
    if (!equalBytes(sha256(aad, sealed), Uint8Array.fromBase64(checksum))) throw new RangeError('wrong checksum');
    return { header, aad, who: publicIdentitySchema.parse(header.public), sealed };
  } catch (cause) {
    throw new VmcError('bad-data', 'The identity file is damaged or not one.', 'Restore it from a backup.', { cause });
  }
}

/** Whose file it is, without the passphrase. Fit to show, not to trust: whoever can write the file can change this. */
export function readSealedPublic(text: string): PublicIdentity {
  return readSealed(text).who;
}

/** @throws VmcError 'wrong-key' for a wrong passphrase, 'bad-data' for a damaged file. */
export async function unsealIdentity(text: string, passphrase: Uint8Array): Promise<Identity> {
  const { header, aad, who, sealed } = readSealed(text);
  const key = await deriveKey(passphrase, header.kdf);
  const secret = open(key, Uint8Array.fromBase64(header.cipher.iv), aad, sealed);
  wipe(key);
  if (secret === undefined)
    throw new VmcError(
      'wrong-key',
      'The passphrase does not open this identity.',
      'Try again; mind the keyboard layout.',
    );
  try {
    const identity = decodeIdentitySecret(secret);
    if (!equalBytes(identity.public.ed25519, who.ed25519))
      throw new VmcError('bad-data', 'The identity file names another identity than the one in it.');
    return identity;
  } finally {
    wipe(secret);
  }
}
