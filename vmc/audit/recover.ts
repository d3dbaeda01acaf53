/** Where a log goes on after a stop or a crash. Reads; changes nothing. */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { lineHash } from '../../shared/audit/chain.ts';
import { type AuditRecord, isFile, MAX_LINE_BYTES, MAX_TORN_BYTES, parseRecord } from '../../shared/audit/record.ts';
import type { Head } from '../../shared/audit/verifier.ts';

/** What is half written, with the LF that the next write begins with when there is none. */
export interface Torn {
  bytes: number;
  sha256: string;
}

export interface Found {
  /** From the file's first line; undefined when that is damaged. */
  log: string | undefined;
  file: number | undefined;
  /** Undefined when not one record could be read. */
  head: Head | undefined;
  size: number;
  torn: Torn | undefined;
  /** The next write has to begin with an LF. */
  lacksLf: boolean;
}

const LF = 10;
/** What a crash can have torn, and enough before it to see where that begins. */
const WINDOW_BYTES = MAX_TORN_BYTES + 64 * 1024;

export async function recover(path: string): Promise<Found> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const first = await readRecord(file);
    const start = Math.max(0, size - WINDOW_BYTES);
    const bytes = await readRange(file, start, size - start);
    const { head, end } = findHead(bytes, start === 0);
    return {
      ...(first !== undefined && isFile(first)
        ? { log: first.log, file: first.file }
        : { log: undefined, file: undefined }),
      head,
      size,
      torn: head === undefined ? undefined : describeTorn(bytes.subarray(end)),
      lacksLf: bytes.length > 0 && bytes.at(-1) !== LF,
    };
  } finally {
    await file.close();
  }
}

/**
 * The last record that follows the one before it, from the last such run that is not within a crash's reach of the end:
 * what comes after it is what a crash left. Damage further back is no crash: verifying names it.
 */
function findHead(bytes: Uint8Array, fromStart: boolean): { head: Head | undefined; end: number } {
  const lines = splitLines(bytes, fromStart);
  let head: Head | undefined;
  let end = 0;
  for (const { line, to } of lines) {
    const record = parseRecord(Buffer.from(line).toString('latin1'));
    const follows = head === undefined || (record?.seq === head.seq + 1 && record.prev === head.hash);
    // What is torn is at most so long: a break further from the end was there before this crash.
    if (record === undefined || (!follows && bytes.length - end <= MAX_TORN_BYTES)) continue;
    head = { seq: record.seq, hash: lineHash(line) };
    end = to;
  }
  return { head, end };
}

/** `to` is the offset after the LF, or the end: a last record may lack nothing but its LF. */
function splitLines(bytes: Uint8Array, fromStart: boolean): { line: Uint8Array; to: number }[] {
  const lines: { line: Uint8Array; to: number }[] = [];
  let from = fromStart ? 0 : bytes.indexOf(LF) + 1;
  for (let lf = bytes.indexOf(LF, from); lf !== -1; lf = bytes.indexOf(LF, from)) {
    lines.push({ line: bytes.subarray(from, lf), to: lf + 1 });
    from = lf + 1;
  }
  if (from < bytes.length) lines.push({ line: bytes.subarray(from), to: bytes.length });
  return lines;
}

function describeTorn(rest: Uint8Array): Torn | undefined {
  if (rest.length === 0) return undefined;
  const hash = createHash('sha256').update(rest);
  if (rest.at(-1) === LF) return { bytes: rest.length, sha256: hash.digest('hex') };
  return { bytes: rest.length + 1, sha256: hash.update('\n').digest('hex') };
}

async function readRecord(file: FileHandle): Promise<AuditRecord | undefined> {
  const text = Buffer.from(await readRange(file, 0, MAX_LINE_BYTES + 1)).toString('latin1');
  return parseRecord(text.slice(0, Math.max(0, text.indexOf('\n'))));
}

/** At most `length` bytes: fewer at the end of the file. */
export async function readRange(file: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
