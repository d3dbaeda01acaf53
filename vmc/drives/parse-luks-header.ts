/**
 * The metadata of a LUKS2 header, as `cryptsetup luksDump --dump-json-metadata` prints it. The header lies on the host's
 * disk, and the host is not trusted: one that names the null cipher for a key slot opens with every key, to a volume
 * whose key the host chose (CVE-2025-59054). So only what `luksFormat` here writes is accepted, not all that cryptsetup can read.
 */
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { describeIssues } from '../../shared/validate.ts';
import { METADATA_BYTES } from './parse-luks-binary.ts';

/** What the header takes of a drive: metadata and key slots. The data begins after it. */
export const HEADER_BYTES = 16 * 1024 * 1024;

/** A place in the header. Written as decimal text, since JSON's numbers are not made for 64 bits. */
const place = z
  .string()
  .regex(/^\d{1,9}$/)
  .transform(Number);

const CIPHER = z.literal('aes-xts-plain64');
const KEY_BYTES = z.literal(64);

const keySlot = z.object({
  type: z.literal('luks2'), // 'reencrypt' would be a volume in the middle of a change of cipher
  key_size: KEY_BYTES,
  area: z
    .object({ type: z.literal('raw'), offset: place, size: place, encryption: CIPHER, key_size: KEY_BYTES })
    .refine(({ offset, size }) => offset >= METADATA_BYTES && size > 0 && offset + size <= HEADER_BYTES, 'outside'),
  kdf: z.object({ type: z.enum(['pbkdf2', 'argon2id']) }),
});

const headerSchema = z.object({
  keyslots: z.record(z.string(), keySlot),
  segments: z.strictObject({
    '0': z.object({
      type: z.literal('crypt'),
      offset: z.literal(String(HEADER_BYTES)),
      encryption: CIPHER,
      integrity: z.never().optional(),
    }),
  }),
  config: z.object({ requirements: z.never().optional() }),
});

export interface CheckedHeader {
  /** All of it, also what is of no interest here. */
  json: unknown;
  /** Where the key slots keep their keys, in bytes. */
  keyAreas: { offset: number; size: number }[];
}

/** @throws VmcError 'bad-data' for a header that is not of the kind that vmc makes. */
export function checkLuksHeader(text: string, driveId: string): CheckedHeader {
  const refuse = (why: string) =>
    new VmcError(
      'bad-data',
      `The LUKS header of the drive ${driveId} is not one that vmc makes (${why}). It was not opened.`,
      'Somebody may have changed it on the host. Restore the drive from a backup, and tell an administrator.',
    );
  let json: unknown;
  try {
    json = JSON.parse(text, plainKey);
  } catch {
    throw refuse('not JSON');
  }
  const parsed = headerSchema.safeParse(json);
  if (!parsed.success) throw refuse(describeIssues(parsed.error));
  return { json, keyAreas: Object.values(parsed.data.keyslots).map(({ area }) => area) };
}

/** zod leaves `__proto__` out of a record unread, as it leaves it out of the result: a key slot of that name is refused here. */
function plainKey(key: string, value: unknown): unknown {
  if (key === '__proto__') throw new SyntaxError('a name that no header has');
  return value;
}
