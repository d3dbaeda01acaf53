/**
 * Follows an audit log line by line, in bounded memory: hashes, numbers, signatures, and what a crash left. It stops at the
 * first record that is not as vmc wrote it. No clock, no files: lines come in, a fault or a report comes out.
 */
import { createHash, type Hash } from 'node:crypto';
import { checkpointHolds, lineHash } from './chain.ts';
import type { ExpectedKey } from './expected-key.ts';
import {
  type AuditRecord,
  CHECKPOINT_EVERY,
  type CheckpointRecord,
  type FileRecord,
  isCheckpoint,
  isEvent,
  isFile,
  isTorn,
  MAX_LINE_BYTES,
  MAX_TORN_BYTES,
  NO_HASH,
  parseRecord,
} from './record.ts';

export type Problem =
  | 'malformed' // not the one spelling of a record, and no crash explains it
  | 'missing' // records before it are not here
  | 'repeated' // its number was there already
  | 'changed' // it is not the record that the next one follows
  | 'bad-signature'
  | 'wrong-key' // signed by, or made for, another VM than expected
  | 'wrong-log' // of another log
  | 'rolled-back' // not what was seen before
  | 'unsigned'; // nothing here is signed

export interface Place {
  file: string;
  /** From 1. */
  line: number;
  seq?: number | undefined;
}

export interface Fault extends Place {
  problem: Problem;
  message: string;
}

/** One record and its hash: what somebody saw before, or where to go on. */
export interface Head {
  seq: number;
  hash: string;
}

export interface Report {
  records: number;
  checkpoints: number;
  firstSeq: number;
  /** The last record. */
  head: Head;
  /** Everything up to here is signed. */
  signed: { seq: number; at: string };
  /** Records after the last checkpoint: nobody can prove them, nor that there were no more. */
  unsigned: number;
  log: string;
  vm: string;
  /** Base64. */
  key: string;
  /** `seq` of what began and has no end here, the latest 100. */
  unfinished: number[];
  /** Not wrong, but worth knowing. */
  notes: string[];
}

export interface VerifierOptions {
  key: ExpectedKey;
  /** A record that was seen before: it must still be there, and the same. */
  seen?: Head | undefined;
  /** The record after which the first line comes, when the log is not read from a beginning. */
  after?: (Head & { log: string; position: Position }) | undefined;
}

/** A place between two records: in which file of the log, and bytes from its beginning. */
export interface Position {
  file: number;
  offset: number;
}

interface Doubt {
  hash: string;
  earlier: Place;
  itself: Place;
}

const MAX_UNFINISHED = 1000;

export class LogVerifier {
  readonly #options: VerifierOptions;
  #file = '';
  #line = 0;
  #head: Head | undefined;
  #headPlace: Place = { file: '', line: 0 };
  #at = '';
  #log: string | undefined;
  #fileNumber: number | undefined;
  /** Bytes since the beginning of the log's file, and of all that was taken. */
  #offset = 0;
  #taken = 0;
  #last: { start: Position; end: Position; taken: number } | undefined;
  #key: string | undefined;
  #vm: string | undefined;
  #firstSeq = 0;
  #records = 0;
  #checkpoints = 0;
  #signed: { seq: number; at: string } | undefined;
  #seen = false;
  #torn: { first: Place; bytes: number; hash: Hash; lines: number; whole: boolean } | undefined;
  /** A record did not follow: which of the two is wrong shows in the next. */
  #doubt: Doubt | undefined;
  readonly #unfinished = new Set<number>();
  readonly #counts = { crashes: 0, gaps: 0, backwards: 0, long: 0 };

  constructor(options: VerifierOptions) {
    this.#options = options;
    if (options.after !== undefined) {
      const { seq, hash, log, position } = options.after;
      this.#fileNumber = position.file;
      this.#offset = position.offset;
      this.#head = { seq, hash };
      this.#log = log;
      this.#firstSeq = seq + 1;
    }
  }

  /** The last record that fitted. */
  get head(): Head | undefined {
    return this.#head;
  }

  /** Up to where everything is proven so far. */
  get signed(): { seq: number; at: string } | undefined {
    return this.#signed;
  }

  get log(): string | undefined {
    return this.#log;
  }

  /** Where the last record that fitted begins and ends in the log, and how many bytes had been taken at its end. */
  get last(): { start: Position; end: Position; taken: number } | undefined {
    return this.#last;
  }

  startFile(name: string): void {
    this.#file = name;
    this.#line = 0;
  }

  /**
   * @param line without its LF.
   * @param ended false for the end of a file that has no LF.
   * @returns the fault, after which nothing more may be given.
   */
  take(line: Uint8Array, ended = true): Fault | undefined {
    this.#line++;
    this.#offset += line.length + (ended ? 1 : 0);
    this.#taken += line.length + (ended ? 1 : 0);
    const record = ended && line.length <= MAX_LINE_BYTES ? parseRecord(latin1(line)) : undefined;
    if (this.#doubt !== undefined) return resolve(this.#doubt, record);
    if (this.#torn !== undefined && !(record !== undefined && this.#explains(record)))
      return this.#takeTorn(line, ended, record);
    if (record === undefined) return this.#takeTorn(line, ended, record);
    if (isTorn(record) && this.#torn === undefined)
      return this.#fault('malformed', 'it tells of a crash, but nothing half written is before it', record.seq);
    const fault = this.#follow(record, line);
    if (fault === undefined && this.#doubt === undefined) this.#torn = undefined;
    return fault;
  }

  /** After the last line. */
  finish(): Fault | Report {
    if (this.#doubt !== undefined) return resolve(this.#doubt, undefined);
    const { seen } = this.#options;
    const notes: string[] = [];
    if (this.#torn !== undefined) {
      const { first, lines, whole, bytes } = this.#torn;
      if (lines > 1 || whole) return { ...first, ...NOT_A_RECORD };
      notes.push(`The last ${bytes} bytes are no whole record: it was being written, or the file was cut there.`);
    }
    const place: Place = { ...this.#headPlace };
    if (this.#head === undefined || this.#log === undefined)
      return { file: this.#file, line: 1, problem: 'malformed', message: 'there is no record at all' };
    if (seen !== undefined && !this.#seen)
      return {
        ...place,
        problem: 'rolled-back',
        message:
          seen.seq > this.#head.seq
            ? `the log ends at record ${this.#head.seq}, but record ${seen.seq} has been seen before`
            : `record ${seen.seq}, which has been seen before, is not in these files`,
      };
    if (this.#signed === undefined || this.#vm === undefined || this.#key === undefined)
      return { ...place, problem: 'unsigned', message: 'there is no checkpoint: nothing here is signed' };
    return {
      records: this.#records,
      checkpoints: this.#checkpoints,
      firstSeq: this.#firstSeq,
      head: this.#head,
      signed: this.#signed,
      unsigned: this.#head.seq - this.#signed.seq,
      log: this.#log,
      vm: this.#vm,
      key: this.#key,
      unfinished: [...this.#unfinished].slice(-100),
      notes: [...notes, ...this.#notes()],
    };
  }

  #notes(): string[] {
    const { crashes, gaps, backwards, long } = this.#counts;
    const unsigned = (this.#head?.seq ?? 0) - (this.#signed?.seq ?? 0);
    return [
      this.#firstSeq > 1 && this.#options.after === undefined
        ? `It starts at record ${this.#firstSeq}: older files are not here.`
        : '',
      crashes > 0 ? `${crashes} times a crash left a record half written; the bytes are kept and told of.` : '',
      gaps > 0 ? `${gaps} times records were lost while the log could not be written (audit.gap).` : '',
      backwards > 0 ? `${backwards} times the clock went backwards.` : '',
      long > 0 ? `${long} times more than ${CHECKPOINT_EVERY} records came without a signature between them.` : '',
      unsigned > CHECKPOINT_EVERY ? `vmc seldom leaves as many as ${unsigned} records unsigned: ask why.` : '',
    ].filter((note) => note !== '');
  }

  #fault(problem: Problem, message: string, seq?: number): Fault {
    return { ...this.#place(seq), problem, message };
  }

  #place = (seq?: number): Place => ({ file: this.#file, line: this.#line, ...(seq === undefined ? {} : { seq }) });

  #takeTorn(line: Uint8Array, ended: boolean, record: AuditRecord | undefined): Fault | undefined {
    this.#torn ??= { first: this.#place(), bytes: 0, hash: createHash('sha256'), lines: 0, whole: false };
    const torn = this.#torn;
    torn.bytes += line.length + (ended ? 1 : 0);
    torn.lines++;
    torn.whole ||= ended;
    torn.hash.update(line);
    if (ended) torn.hash.update('\n');
    // A signature is only written once all before it is safe on disk: no crash can be the cause.
    const signed = record !== undefined && isCheckpoint(record) && checkpointHolds(record);
    return torn.bytes > MAX_TORN_BYTES || signed ? { ...torn.first, ...NOT_A_RECORD } : undefined;
  }

  #explains(record: AuditRecord): boolean {
    const torn = this.#torn;
    return (
      torn !== undefined &&
      isTorn(record) &&
      record.bytes === torn.bytes &&
      record.sha256 === torn.hash.copy().digest('hex') &&
      record.seq === (this.#head?.seq ?? 0) + 1
    );
  }

  #follow(record: AuditRecord, line: Uint8Array): Fault | undefined {
    const { seq, at } = record;
    const hash = lineHash(line);
    const fault = this.#misplaced(record);
    if (fault !== undefined) return fault;
    const before = this.#head?.hash ?? (seq === 1 ? NO_HASH : record.prev);
    if (record.prev !== before) {
      const doubt = { hash, earlier: this.#headPlace, itself: this.#place(seq) };
      if (this.#head === undefined) return { ...doubt.itself, ...NOT_FOLLOWING };
      // What is signed is not what is wrong.
      if (isCheckpoint(record) && checkpointHolds(record)) return changed(doubt.earlier, doubt.itself);
      this.#doubt = doubt;
      return undefined;
    }
    const wrong = isFile(record)
      ? this.#takeFile(record)
      : isCheckpoint(record)
        ? this.#takeCheckpoint(record)
        : undefined;
    if (wrong !== undefined) return wrong;
    const { seen } = this.#options;
    if (seen?.seq === seq) {
      if (seen.hash !== hash) return this.#fault('rolled-back', `another record ${seq} has been seen before`, seq);
      this.#seen = true;
    }
    this.#count(record);
    if (at < this.#at) this.#counts.backwards++;
    this.#at = at;
    this.#head = { seq, hash };
    this.#headPlace = this.#place(seq);
    if (isFile(record)) this.#offset = line.length + 1;
    const file = this.#fileNumber ?? 0;
    const start = { file, offset: this.#offset - line.length - 1 };
    this.#last = { start, end: { file, offset: this.#offset }, taken: this.#taken };
    if (this.#records++ === 0 && this.#options.after === undefined) this.#firstSeq = seq;
    return undefined;
  }

  #misplaced(record: AuditRecord): Fault | undefined {
    const { seq } = record;
    if (this.#head === undefined)
      return isFile(record) ? undefined : this.#fault('missing', 'the beginning of the file is not here', seq);
    const next = this.#head.seq + 1;
    if (seq > next) return this.#fault('missing', `${describeRange(next, seq - 1)} missing before record ${seq}`, seq);
    if (seq < next) return this.#fault('repeated', `record ${seq} was there already, ${next} should be here`, seq);
    return undefined;
  }

  #takeFile(record: FileRecord): Fault | undefined {
    const { log, file, seq, key, vm } = record;
    if ((file === 1) !== (seq === 1)) return this.#fault('malformed', `record ${seq} cannot begin file ${file}`, seq);
    if (this.#log !== undefined && log !== this.#log) return this.#fault('wrong-log', 'it belongs to another log', seq);
    if (this.#fileNumber !== undefined && file !== this.#fileNumber + 1)
      return this.#fault('missing', `file ${file} follows file ${this.#fileNumber}`, seq);
    this.#log = log;
    this.#fileNumber = file;
    return key === undefined || vm === undefined ? undefined : this.#bind(key, vm, seq);
  }

  #takeCheckpoint(record: CheckpointRecord): Fault | undefined {
    const { log, seq, at, key, vm } = record;
    if (log !== this.#log) return this.#fault('wrong-log', 'it belongs to another log', seq);
    const fault = this.#bind(key, vm, seq);
    if (fault !== undefined) return fault;
    if (!checkpointHolds(record)) return this.#fault('bad-signature', 'the signature does not hold', seq);
    if (this.#signed !== undefined && seq - this.#signed.seq > CHECKPOINT_EVERY + 1) this.#counts.long++;
    this.#signed = { seq, at };
    this.#checkpoints++;
    return undefined;
  }

  #bind(key: string, vm: string, seq: number): Fault | undefined {
    if (key !== this.#key && !this.#options.key(key))
      return this.#fault('wrong-key', `it is for the key ${key}, which is not the one that was given`, seq);
    if (this.#vm !== undefined && vm !== this.#vm)
      return this.#fault('wrong-log', `it is of ${vm}, what came before of ${this.#vm}`, seq);
    this.#key = key;
    this.#vm = vm;
    return undefined;
  }

  #count(record: AuditRecord): void {
    if (isTorn(record)) this.#counts.crashes++;
    if (!isEvent(record)) return;
    if (record.what === 'audit.gap') this.#counts.gaps++;
    if (record.result === 'begun') {
      this.#unfinished.add(record.seq);
      const [oldest] = this.#unfinished;
      if (this.#unfinished.size > MAX_UNFINISHED && oldest !== undefined) this.#unfinished.delete(oldest);
    } else if (record.of !== undefined) this.#unfinished.delete(record.of);
  }
}

const NOT_A_RECORD = { problem: 'malformed', message: 'it is not a record, and no crash explains it' } as const;
const NOT_FOLLOWING = { problem: 'changed', message: 'it does not follow the record before it' } as const;

const changed = (earlier: Place, itself: Place): Fault => ({
  ...earlier,
  problem: 'changed',
  message: `it is not the record that record ${itself.seq} follows`,
});

/** When the next record follows the doubtful one as it is, the one before was changed. */
const resolve = ({ hash, earlier, itself }: Doubt, next: AuditRecord | undefined): Fault =>
  next?.prev === hash ? changed(earlier, itself) : { ...itself, ...NOT_FOLLOWING };

const describeRange = (from: number, to: number) =>
  from === to ? `record ${from} is` : `records ${from} to ${to} are`;

/** Bytes as characters of the same number: parseRecord accepts ASCII only. */
const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
