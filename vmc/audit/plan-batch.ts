/** The bytes of one write to the log: a run of records, each tied to the one before. Pure. */
import { lineHash } from '../../shared/audit/chain.ts';
import {
  type AuditRecord,
  boundedEvent,
  type CheckpointRecord,
  type EventFields,
  encodeRecord,
} from '../../shared/audit/record.ts';
import type { Head } from '../../shared/audit/verifier.ts';
import { concatBytes, utf8 } from '../../shared/bytes.ts';

export interface Batch {
  /** The last record that is safe on disk. */
  head: Head;
  /** For the records that the log itself adds. */
  at: string;
  /** Signs; undefined when no checkpoint is due. */
  sign: ((fields: Pick<CheckpointRecord, 'seq' | 'at' | 'prev'>) => CheckpointRecord) | undefined;
  /** Records that could not be written before this. */
  lost: number;
  events: readonly { at: string; event: EventFields }[];
}

export interface PlannedBatch {
  bytes: Uint8Array;
  /** The last record after this. */
  head: Head;
  /** The number of the first event. */
  first: number;
  checkpoint: (Head & { at: string }) | undefined;
  /** Records after the checkpoint, or all. */
  unsigned: number;
}

const LF = utf8('\n');

/** A record at its place in the chain. */
export function link(head: Head, make: (seq: number, prev: string) => AuditRecord): { line: Uint8Array; head: Head } {
  const line = utf8(encodeRecord(make(head.seq + 1, head.hash)));
  return { line: concatBytes(line, LF), head: { seq: head.seq + 1, hash: lineHash(line) } };
}

export function planBatch({ head: before, at, sign, lost, events }: Batch): PlannedBatch {
  const lines: Uint8Array[] = [];
  let head = before;
  let unsigned = 0;
  const add = (make: (seq: number, prev: string) => AuditRecord) => {
    const linked = link(head, make);
    lines.push(linked.line);
    head = linked.head;
    unsigned++;
  };
  const addEvent = (event: EventFields, when: string) =>
    add((seq, prev) => ({ seq, at: when, prev, ...boundedEvent(event) }));
  // It comes first: all before it is safe by now, so no crash can tear what it signs.
  if (sign !== undefined) add((seq, prev) => sign({ seq, at, prev }));
  const checkpoint = sign === undefined ? undefined : { ...head, at };
  if (sign !== undefined) unsigned = 0;
  if (lost > 0) addEvent({ who: 'vmc', what: 'audit.gap', target: `${lost} records`, result: 'lost' }, at);
  const first = head.seq + 1;
  for (const it of events) addEvent(it.event, it.at);
  return { bytes: concatBytes(...lines), head, first, checkpoint, unsigned };
}
