/**
 * The metadata of a LUKS2 header (JSON). The header lies on the host's disk, and the host is not trusted: one that names
 * the null cipher for a key slot opens with every key, to a volume whose key the host chose (CVE-2025-59054), and one that
 * says that the volume is being decrypted has what is written arrive at the host as it is (CVE-2021-4122). So only what vmc
 * itself has cryptsetup write is accepted, not all that cryptsetup can read: aes-xts-plain64 throughout, and at most a
 * re-encryption under way from such a volume to another one like it.
 */
import * as z from 'zod';
import type { KeySlot } from '../../shared/api/drive-keys.ts';
import { VmcError } from '../../shared/errors.ts';
import { describeIssues } from '../../shared/validate.ts';
import { METADATA_BYTES } from './parse-luks-binary.ts';

/** What the header takes of a drive: metadata and key slots. The data begins after it. */
export const HEADER_BYTES = 16 * 1024 * 1024;
/** A passphrase slot that wants more memory is refused: opening must not end the VM. In KiB, as the header has it. */
const MOST_MEMORY_KIB = 1024 * 1024;
const SECTOR_BYTES = 512;

/** A place in the header. Written as decimal text, since JSON's numbers are not made for 64 bits. */
const place = z
  .string()
  .regex(/^\d{1,9}$/)
  .transform(Number);
/** A place on the drive, up to 8 PiB. */
const farPlace = z
  .string()
  .regex(/^\d{1,16}$/)
  .transform(Number)
  .refine(Number.isSafeInteger);
const slotName = z.string().regex(/^([0-9]|[12][0-9]|3[01])$/);

const CIPHER = z.literal('aes-xts-plain64');
const KEY_BYTES = z.literal(64);
const isInside = ({ offset, size }: { offset: number; size: number }) =>
  offset >= METADATA_BYTES && size > 0 && offset + size <= HEADER_BYTES;

const keySlot = z.object({
  type: z.literal('luks2'),
  key_size: KEY_BYTES,
  area: z
    .object({ type: z.literal('raw'), offset: place, size: place, encryption: CIPHER, key_size: KEY_BYTES })
    .refine(isInside, 'outside'),
  kdf: z.discriminatedUnion('type', [
    z.object({ type: z.literal('pbkdf2') }),
    z.object({ type: z.literal('argon2id'), memory: z.number().int().min(1).max(MOST_MEMORY_KIB) }),
  ]),
});

/** Where a re-encryption keeps the checksums of what it is moving. */
const moveSlot = z.object({
  type: z.literal('reencrypt'),
  mode: z.literal('reencrypt'),
  direction: z.literal('forward'),
  area: z
    .object({ type: z.literal('checksum'), hash: z.literal('sha256'), offset: place, size: place })
    .refine(isInside, 'outside'),
});

const segment = z.strictObject({
  type: z.literal('crypt'),
  offset: farPlace,
  size: z.union([z.literal('dynamic'), farPlace]),
  iv_tweak: farPlace,
  encryption: CIPHER,
  sector_size: z.union([z.literal(512), z.literal(1024), z.literal(2048), z.literal(4096)]),
  flags: z.array(z.enum(['in-reencryption', 'backup-previous', 'backup-final'])).optional(),
});
type Segment = z.output<typeof segment>;

const headerSchema = z.object({
  keyslots: z.record(slotName, z.discriminatedUnion('type', [keySlot, moveSlot])),
  tokens: z.strictObject({}).optional(), // cryptsetup would look for keys where a token says
  segments: z.record(z.string().regex(/^\d{1,2}$/), segment),
  digests: z.record(slotName, z.object({ segments: z.array(z.string()), keyslots: z.array(z.string()) })),
  config: z.object({
    requirements: z.strictObject({ mandatory: z.tuple([z.literal('online-reencrypt-v2')]) }).optional(),
  }),
});

export interface Slot extends KeySlot {
  /** What opening it takes; 0 for a key. */
  memoryBytes: number;
  /** False: its volume key belongs to nothing on the drive; a re-encryption was ended before it began. */
  isUsed: boolean;
}

export interface CheckedHeader {
  /** All of it, also what is of no interest here. */
  json: unknown;
  /** What lies in the header beside the metadata, in bytes. */
  areas: { offset: number; size: number }[];
  slots: Slot[];
  /** While one is under way, or stopped: how much of the data is under the new key; undefined stands for all of it. */
  reencryption: { doneBytes: number | undefined; isCut: boolean } | undefined;
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
  const { keyslots, segments, digests, config } = parsed.data;
  const moves = Object.values(keyslots).filter(({ type }) => type === 'reencrypt');
  const isMoving = moves.length > 0;
  if (moves.length > 1 || isMoving !== (config.requirements !== undefined)) throw refuse('a re-encryption half named');
  const live = checkSegments(segments, isMoving, refuse);
  const used = new Set(
    Object.values(digests).flatMap(({ segments, keyslots }) => (segments.length > 0 ? keyslots : [])),
  );
  return {
    json,
    areas: Object.values(keyslots).map(({ area: { offset, size } }) => ({ offset, size })),
    slots: Object.entries(keyslots).flatMap(([name, slot]): Slot[] =>
      slot.type === 'reencrypt'
        ? []
        : [
            {
              slot: Number(name),
              kind: slot.kdf.type === 'pbkdf2' ? 'key' : 'passphrase',
              memoryBytes: slot.kdf.type === 'pbkdf2' ? 0 : slot.kdf.memory * 1024,
              isUsed: used.has(name),
            },
          ],
    ),
    reencryption: isMoving ? { doneBytes: doneBytes(live, segments, digests), isCut: live.some(isHot) } : undefined,
  };
}

const has = (flag: 'in-reencryption' | 'backup-previous' | 'backup-final') => (it: Segment) =>
  it.flags?.includes(flag) === true;
const isHot = has('in-reencryption');
const isBackup = (it: Segment) => has('backup-previous')(it) || has('backup-final')(it);

/** @returns those that make up the volume, in order: without a gap, each encrypted at the places that are its own. */
function checkSegments(all: Record<string, Segment>, isMoving: boolean, refuse: (why: string) => VmcError): Segment[] {
  const segments = Object.entries(all)
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([, it]) => it);
  const live = segments.filter((it) => !isBackup(it));
  const backups = segments.filter(isBackup);
  const wholeVolume = (it: Segment) => it.offset === HEADER_BYTES && it.size === 'dynamic' && it.iv_tweak === 0;
  const backupsFit = isMoving
    ? backups.length === 2 &&
      backups.every((it) => wholeVolume(it) && it.flags?.length === 1) &&
      backups.some(has('backup-previous')) &&
      backups.some(has('backup-final'))
    : backups.length === 0;
  if (!backupsFit || live.length < 1 || live.length > (isMoving ? 3 : 1)) throw refuse('segments');
  if (new Set(segments.map(({ sector_size }) => sector_size)).size > 1) throw refuse('sectors of several sizes');
  if (!isMoving && live.some(({ flags }) => flags !== undefined)) throw refuse('flags of a segment');
  if (live.filter(isHot).length > 1) throw refuse('segments');
  let at: number | undefined = HEADER_BYTES;
  for (const it of live) {
    if (it.offset !== at || it.iv_tweak !== (it.offset - HEADER_BYTES) / SECTOR_BYTES) throw refuse('segments');
    at = it.size === 'dynamic' ? undefined : it.offset + it.size;
  }
  if (!isMoving && at !== undefined) throw refuse('segments');
  return live;
}

function doneBytes(
  live: readonly Segment[],
  segments: Record<string, Segment>,
  digests: Record<string, { segments: string[] }>,
): number | undefined {
  const border = live.find(isHot) ?? live.at(-1);
  const nameOf = (wanted: Segment | undefined) => Object.keys(segments).find((name) => segments[name] === wanted);
  const final = nameOf(Object.values(segments).find(has('backup-final')));
  const last = nameOf(live.at(-1));
  const isAllNew =
    live.length === 1 &&
    !live.some(isHot) &&
    Object.values(digests).some(({ segments }) => [final, last].every((name) => segments.includes(name ?? '')));
  return isAllNew ? undefined : (border?.offset ?? HEADER_BYTES) - HEADER_BYTES;
}

/** zod leaves `__proto__` out of a record unread, as it leaves it out of the result: a key slot of that name is refused here. */
function plainKey(key: string, value: unknown): unknown {
  if (key === '__proto__') throw new SyntaxError('a name that no header has');
  return value;
}
