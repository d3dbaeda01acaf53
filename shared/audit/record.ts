/**
 * One record of a VM's audit log is one line: a JSON object in printable ASCII, its fields in the order of `encodeRecord`,
 * and only ever one spelling, so that the bytes that are hashed can be made again from what they mean. docs/audit.md has it all.
 */

/** Bytes of a line without its LF. `clip` keeps what strangers say far below it. */
export const MAX_LINE_BYTES = 1024;
/** The `prev` of the first record of a log. */
export const NO_HASH = '0'.repeat(64);
export const FORMAT = 1;
/** vmc signs after at most so many records. */
export const CHECKPOINT_EVERY = 64;
/** What a crash may leave half written between two records: one batch, and one more for a crash while that was told. */
export const MAX_TORN_BYTES = 160 * 1024;

interface Numbered {
  /** 1, 2, 3 … over all files of a log. */
  seq: number;
  /** ISO 8601, UTC, milliseconds. */
  at: string;
  /** `lineHash` of the record before. */
  prev: string;
}

export interface EventFields {
  /** A fingerprint, 'vmc' for the controller itself, 'root' for someone at the console, 'unknown' before sign-in. */
  who: string;
  /** e.g. drive.open, channel.refused */
  what: string;
  /** e.g. a drive id, a certificate's fingerprint */
  target?: string | undefined;
  /** Of an end: the `seq` of its beginning. */
  of?: number | undefined;
  /** ok, an error code, the reason of a refusal; 'begun' for what is about to be done. */
  result: string;
}

export type EventRecord = Numbered & EventFields;

/** The first line of every file. `vm` and `key` are missing only when a VM had neither yet. */
export interface FileRecord extends Numbered {
  what: 'log.file';
  format: typeof FORMAT;
  /** 16 random bytes in hex, the same in every file of a log. */
  log: string;
  /** 1, 2, 3 … */
  file: number;
  vm?: string | undefined;
  key?: string | undefined;
}

/** The VM's signature over everything up to the record before. */
export interface CheckpointRecord extends Numbered {
  what: 'log.checkpoint';
  log: string;
  vm: string;
  /** Ed25519, base64. */
  key: string;
  signature: string;
}

/** Says of the bytes between it and the last whole record that a crash left them so. */
export interface TornRecord extends Numbered {
  what: 'log.torn';
  bytes: number;
  sha256: string;
}

export type AuditRecord = EventRecord | FileRecord | CheckpointRecord | TornRecord;

const OWN_KINDS = ['log.file', 'log.checkpoint', 'log.torn'] as const;
type OwnKind = (typeof OWN_KINDS)[number];

export const isEvent = (record: AuditRecord): record is EventRecord => !OWN_KINDS.includes(record.what as OwnKind);
export const isFile = (record: AuditRecord): record is FileRecord => record.what === 'log.file';
export const isCheckpoint = (record: AuditRecord): record is CheckpointRecord => record.what === 'log.checkpoint';
export const isTorn = (record: AuditRecord): record is TornRecord => record.what === 'log.torn';

/** Every field of every kind, any of which may be missing or of any type until it is checked. */
type Fields = Record<
  | keyof EventRecord
  | keyof Omit<FileRecord, 'what'>
  | keyof Omit<CheckpointRecord, 'what'>
  | keyof Omit<TornRecord, 'what'>,
  unknown
>;

/** JSON in ASCII: everything from U+007F on as \uXXXX, so that no terminal and no editor is led astray. */
const ascii = (value: unknown): string =>
  JSON.stringify(value).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

function encode(it: Partial<Fields>): string {
  return ascii({
    seq: it.seq,
    at: it.at,
    prev: it.prev,
    who: it.who,
    what: it.what,
    target: it.target,
    of: it.of,
    result: it.result,
    format: it.format,
    log: it.log,
    file: it.file,
    vm: it.vm,
    key: it.key,
    bytes: it.bytes,
    sha256: it.sha256,
    signature: it.signature,
  });
}

/** The line of a record, without its LF. */
export const encodeRecord = (record: AuditRecord): string => encode(record);

/** The most that a text may take in a line, once it is escaped. */
const LIMIT = { who: 100, what: 64, target: 400, result: 64 } as const;

/** Cut so that its escaped form has at most `most` characters; what was cut ends in … */
function clip(text: string, most: number): string {
  if (text.length <= most && ascii(text).length - 2 <= most) return text;
  let length = '\\u2026'.length;
  let kept = '';
  for (const character of text) {
    length += ascii(character).length - 2;
    if (length > most) return `${kept}…`;
    kept += character;
  }
  return text;
}

/** An event as it goes into the log: texts cut to their limits, and no name that the log keeps for itself. */
export function boundedEvent({ who, what, target, of, result }: EventFields): EventFields {
  return {
    who: clip(who, LIMIT.who),
    what: clip(what.startsWith('log.') ? `other.${what}` : what, LIMIT.what),
    ...(target === undefined ? {} : { target: clip(target, LIMIT.target) }),
    ...(of === undefined ? {} : { of }),
    result: clip(result, LIMIT.result),
  };
}

const HEX_32 = /^[0-9a-f]{64}$/;
const HEX_16 = /^[0-9a-f]{32}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const VM = /^vm-[0-9a-f]{12}$/;
const KEY = /^[A-Za-z0-9+/]{43}=$/;
const SIGNATURE = /^[A-Za-z0-9+/]{86}==$/;

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 1;
const isText = (value: unknown): value is string => typeof value === 'string';
const matches = (value: unknown, pattern: RegExp): boolean => isText(value) && pattern.test(value);
const absent = (...values: unknown[]): boolean => values.every((value) => value === undefined);

function isWellFormed(it: Partial<Fields>): boolean {
  if (!(isCount(it.seq) && matches(it.at, TIME) && matches(it.prev, HEX_32))) return false;
  const noEvent = absent(it.who, it.target, it.of, it.result);
  switch (it.what) {
    case 'log.file':
      return (
        noEvent &&
        absent(it.bytes, it.sha256, it.signature) &&
        it.format === FORMAT &&
        matches(it.log, HEX_16) &&
        isCount(it.file) &&
        (absent(it.vm, it.key) || (matches(it.vm, VM) && matches(it.key, KEY)))
      );
    case 'log.checkpoint':
      return (
        noEvent &&
        absent(it.format, it.file, it.bytes, it.sha256) &&
        matches(it.log, HEX_16) &&
        matches(it.vm, VM) &&
        matches(it.key, KEY) &&
        matches(it.signature, SIGNATURE)
      );
    case 'log.torn':
      return (
        noEvent &&
        absent(it.format, it.log, it.file, it.vm, it.key, it.signature) &&
        isCount(it.bytes) &&
        matches(it.sha256, HEX_32)
      );
    default:
      return (
        absent(it.format, it.log, it.file, it.vm, it.key, it.bytes, it.sha256, it.signature) &&
        [it.who, it.what, it.result].every(isText) &&
        !(it.what as string).startsWith('log.') &&
        (it.target === undefined || isText(it.target)) &&
        (it.of === undefined || isCount(it.of))
      );
  }
}

/** @returns undefined for anything but the one spelling of a record. */
export function parseRecord(line: string): AuditRecord | undefined {
  if (line.length > MAX_LINE_BYTES || !line.startsWith('{')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const fields = value as Partial<Fields>;
  // Spelt again: another order, a space, an unknown or a repeated field, a raw control character all show here.
  if (encode(fields) !== line || !isWellFormed(fields)) return undefined;
  return fields as unknown as AuditRecord;
}
